"""MobileNet V1 (Howard et al., 2017), width 1.0, 224 x 224, 1001 classes, as an ONNX graph.

The topology, the TensorFlow-style padding and the tensor names are those of the model that
MLPerf and others call ``mobilenet_v1_1.0_224``, so that it costs what theirs costs. The weights
are pseudo-random: they come from NumPy's frozen MT19937 stream, hence the same bytes everywhere.
Batch normalisation is folded into the convolutions, as in any graph made ready for inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.models.graphs import make_model

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

    Floats = npt.NDArray[np.float32]

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
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._random = np.random.RandomState(SEED)
        self._constant("relu6/min", np.array(0, np.float32))
        self._constant("relu6/max", np.array(6, np.float32))

    def build(self) -> onnx.ModelProto:
        x = INPUT
        if self._layout == "nhwc":
            x = self._node("Transpose", "nchw", [x], perm=[0, 3, 1, 2])
        x = self._block("Conv2d_0", x, channels=(3, 32), kernel=3, stride=2)
        before = 32
        for number, (stride, after) in enumerate(BLOCKS, start=1):
            name = f"Conv2d_{number}"
            x = self._block(f"{name}_depthwise", x, channels=(before, before), kernel=3,
                            stride=stride, groups=before)  # fmt: skip
            x = self._block(f"{name}_pointwise", x, channels=(before, after), kernel=1)
            before = after
        self._head(x)
        return self._model()

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
        weights = [self._constant(f"{name}/weights", self._he(shape)),
                   self._constant(f"{name}/bias", self._uniform((after,), 0.05))]  # fmt: skip
        x = self._node(
            "Conv", name, [x, *weights], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[begin, begin, end, end], group=groups,
        )  # fmt: skip
        return self._node("Clip", f"{name}/relu6", [x, "relu6/min", "relu6/max"])

    def _head(self, x: str) -> None:
        """Add average pooling, the classifier (a 1 x 1 convolution, as in TF-slim) and softmax."""
        x = self._node("GlobalAveragePool", "AvgPool_1a", [x])
        # Three times He's size: predictions that differ visibly from one image to the next.
        weights = [
            self._constant("Logits/weights", 3 * self._he((CLASSES, BLOCKS[-1][1], 1, 1))),
            self._constant("Logits/bias", self._uniform((CLASSES,), 0.05)),
        ]
        x = self._node("Conv", "Logits", [x, *weights], kernel_shape=[1, 1])
        shape = self._constant("Logits/shape", np.array([-1, CLASSES], np.int64))
        x = self._node("Reshape", "Logits/squeeze", [x, shape])
        self._node("Softmax", OUTPUT, [x], axis=1)

    def _model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        sides: tuple[int, ...] = (SIZE, SIZE, 3) if self._layout == "nhwc" else (3, SIZE, SIZE)
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "mobilenet_v1_100_224",
            [value(INPUT, TensorProto.FLOAT, ["N", *sides])],
            [value(OUTPUT, TensorProto.FLOAT, ["N", CLASSES])],
            self._weights,
        )
        return make_model(graph, random_weights=True)

    def _node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        self._weights.append(numpy_helper.from_array(array, name))
        return name

    def _he(self, shape: tuple[int, int, int, int]) -> Floats:
        """Weights of the variance 2 / fan-in that keeps activations of one size through ReLUs."""
        return self._uniform(shape, (6 / (shape[1] * shape[2] * shape[3])) ** 0.5)

    def _uniform(self, shape: tuple[int, ...], limit: float) -> Floats:
        # Only the generator's raw doubles and IEEE arithmetic: no libm, whose last bits differ.
        return ((self._random.random_sample(shape) * 2 - 1) * limit).astype(np.float32)
