"""MobileNet V1 (Howard et al., 2017), width 1.0, 224 x 224, 1001 classes, as an ONNX graph.

The topology, the TensorFlow-style padding and the tensor names are those of the model that
MLPerf and others call ``mobilenet_v1_1.0_224``, so that it costs what theirs costs. The weights
are pseudo-random: they come from NumPy's frozen MT19937 stream, hence the same bytes everywhere.
Batch normalisation is folded into the convolutions, as in any graph made ready for inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastbench.models.network import Network

if TYPE_CHECKING:
    import onnx

INPUT = "input"
OUTPUT = "MobilenetV1/Predictions/Reshape_1"
SIZE = 224
CLASSES = 1001
SEED = 20170417

#: The 13 depthwise-separable blocks: stride of the depthwise part, channels after the pointwise.
BLOCKS = (
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512),
    (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024),
)  # fmt: skip


def build(*, layout: str = "nhwc") -> onnx.ModelProto:
    """Make the graph: ``input`` float32 → softmax [N, 1001]; N is dynamic.

    ``layout``: ``nhwc`` takes [N, 224, 224, 3] and starts with a transpose, ``nchw`` takes
    [N, 3, 224, 224]. Both have the same weights. Deterministic to the byte.
    """
    return _Builder(layout).build()


class _Builder:
    """Nodes and weights of the graph under construction."""

    def __init__(self, layout: str) -> None:
        self._layout = layout
        self._net = Network(SEED)
        self._net.constant("relu6/min", np.array(0, np.float32))
        self._net.constant("relu6/max", np.array(6, np.float32))

    def build(self) -> onnx.ModelProto:
        x = INPUT
        if self._layout == "nhwc":
            x = self._net.node("Transpose", "nchw", [x], perm=[0, 3, 1, 2])
        x = self._block("Conv2d_0", x, channels=(3, 32), kernel=3, stride=2)
        before = 32
        for number, (stride, after) in enumerate(BLOCKS, start=1):
            name = f"Conv2d_{number}"
            x = self._block(f"{name}_depthwise", x, channels=(before, before), kernel=3,
                            stride=stride, groups=before)  # fmt: skip
            x = self._block(f"{name}_pointwise", x, channels=(before, after), kernel=1)
            before = after
        self._head(x)
        sides: tuple[int, ...] = (SIZE, SIZE, 3) if self._layout == "nhwc" else (3, SIZE, SIZE)
        return self._net.model(
            "mobilenet_v1_100_224", {INPUT: ("float32", sides)}, {OUTPUT: (CLASSES,)}
        )

    def _block(
        self,
        name: str,
        x: str,
        *,
        channels: tuple[int, int],
        kernel: int,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """Add a convolution with a bias and ReLU6; TensorFlow pads the odd pixel at the end."""
        before, after = channels
        shape = (after, before // groups, kernel, kernel)
        begin, end = {(3, 1): (1, 1), (3, 2): (0, 1), (1, 1): (0, 0)}[kernel, stride]
        weights = [
            self._net.constant(f"{name}/weights", self._net.he(shape)),
            self._net.constant(f"{name}/bias", self._net.uniform((after,), 0.05)),
        ]
        x = self._net.node(
            "Conv", name, [x, *weights], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[begin, begin, end, end], group=groups,
        )  # fmt: skip
        return self._net.node("Clip", f"{name}/relu6", [x, "relu6/min", "relu6/max"])

    def _head(self, x: str) -> None:
        """Add average pooling, the classifier (a 1 x 1 convolution, as in TF-slim) and softmax."""
        x = self._net.node("GlobalAveragePool", "AvgPool_1a", [x])
        # Three times He's size: predictions that differ visibly from one image to the next.
        weights = [
            self._net.constant("Logits/weights", 3 * self._net.he((CLASSES, BLOCKS[-1][1], 1, 1))),
            self._net.constant("Logits/bias", self._net.uniform((CLASSES,), 0.05)),
        ]
        x = self._net.node("Conv", "Logits", [x, *weights], kernel_shape=[1, 1])
        shape = self._net.constant("Logits/shape", np.array([-1, CLASSES], np.int64))
        x = self._net.node("Reshape", "Logits/squeeze", [x, shape])
        self._net.node("Softmax", OUTPUT, [x], axis=1)
