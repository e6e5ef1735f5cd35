"""Inception v2 (Ioffe and Szegedy, 2015: "BN-Inception"), 224 x 224, 1000 classes, as ONNX.

Ten modules of parallel convolutions whose outputs are concatenated. Every convolution is followed
by batch normalisation, kept as a node of its own as in ``inception_v2`` of the ONNX model zoo,
whose size (45 MB) and tensor names this graph has. The weights are pseudo-random.
Widths: figure 5 of the paper; where its sums of 4c and 4d do not agree with its branches, the
branches count, as in the published Caffe model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.models.network import Network, scaled

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "data_0", "prob_1"
SIZE, CLASSES = 224, 1000
SEED = 20150211
EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Module:
    """Widths of the branches: 1 x 1; 3 x 3; two 3 x 3 after one another; pooling.

    Of the 3 x 3 and the double branch: (reduced to, widths). ``single`` and ``projected`` are 0
    in the modules that halve the image: no such branch, and pooling passes its input on.
    """

    name: str
    single: int
    triple: tuple[int, int]
    double: tuple[int, int]
    pool: str
    projected: int

    @property
    def stride(self) -> int:
        """2 in the modules that halve the image."""
        return 1 if self.single else 2


MODULES = (
    Module("3a", 64, (64, 64), (64, 96), "AveragePool", 32),
    Module("3b", 64, (64, 96), (64, 96), "AveragePool", 64),
    Module("3c", 0, (128, 160), (64, 96), "MaxPool", 0),
    Module("4a", 224, (64, 96), (96, 128), "AveragePool", 128),
    Module("4b", 192, (96, 128), (96, 128), "AveragePool", 128),
    Module("4c", 160, (128, 160), (128, 160), "AveragePool", 128),
    Module("4d", 96, (128, 192), (160, 192), "AveragePool", 128),
    Module("4e", 0, (128, 192), (192, 256), "MaxPool", 0),
    Module("5a", 352, (192, 320), (160, 224), "AveragePool", 128),
    Module("5b", 352, (192, 320), (192, 224), "MaxPool", 128),
)


def build(scale: float = 1.0) -> onnx.ModelProto:
    """Make the graph: ``data_0`` float32 [N, 3, 224, 224] → softmax ``prob_1`` [N, 1000].

    ``scale``: times so many channels. Deterministic to the byte.
    """
    builder = _Builder(scale)
    x = builder.convolution("conv1", INPUT, 64, kernel=7, stride=2)
    x = builder.pool("MaxPool", "pool1", x, stride=2)
    x = builder.convolution("conv2_reduce", x, 64)
    x = builder.convolution("conv2", x, 192, kernel=3)
    x = builder.pool("MaxPool", "pool2", x, stride=2)
    for module in MODULES:
        x = builder.module(module, x)
    return builder.head(x)


class _Builder:
    """Knows the channels of each tensor, so that a layer is told only what it makes of it."""

    def __init__(self, scale: float) -> None:
        self._net = Network(SEED)
        self._scale = scale
        self._channels = {INPUT: 3}

    def convolution(
        self, name: str, x: str, width: int, *, kernel: int = 1, stride: int = 1
    ) -> str:
        """Add a convolution with batch normalisation and ReLU."""
        net, before, after = self._net, self._channels[x], scaled(width, self._scale)
        weights = [
            net.constant(f"{name}/weights", net.he((after, before, kernel, kernel))),
            net.constant(f"{name}/bias", net.uniform((after,), 0.05)),
        ]
        x = net.node(
            "Conv", name, [x, *weights], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )  # fmt: skip
        statistics = [
            net.constant(f"{name}/scale", net.uniform((after,), 0.5, 1.0)),
            net.constant(f"{name}/shift", net.uniform((after,), 0.05)),
            net.constant(f"{name}/mean", net.uniform((after,), 0.05)),
            net.constant(f"{name}/variance", net.uniform((after,), 0.5, 1.0)),
        ]
        x = net.node("BatchNormalization", f"{name}/bn", [x, *statistics], epsilon=EPSILON)
        return self._made(net.node("Relu", f"{name}/relu", [x]), after)

    def pool(self, op: str, name: str, x: str, *, stride: int = 1) -> str:
        """Add pooling of 3 x 3; where it halves the image, the odd pixel is at the end."""
        attributes: dict[str, Any] = {"ceil_mode": 1} if stride > 1 else {"pads": [1] * 4}
        if op == "AveragePool":
            attributes["count_include_pad"] = 1
        pooled = self._net.node(
            op, name, [x], kernel_shape=[3, 3], strides=[stride] * 2, **attributes
        )
        return self._made(pooled, self._channels[x])

    def module(self, module: Module, x: str) -> str:
        """Add the branches of a module, concatenated."""
        name, stride = f"inception_{module.name}", module.stride
        branches = [self.convolution(f"{name}/1x1", x, module.single)] if module.single else []
        reduced, width = module.triple
        y = self.convolution(f"{name}/3x3_reduce", x, reduced)
        branches.append(self.convolution(f"{name}/3x3", y, width, kernel=3, stride=stride))
        reduced, width = module.double
        y = self.convolution(f"{name}/double3x3_reduce", x, reduced)
        y = self.convolution(f"{name}/double3x3_1", y, width, kernel=3)
        branches.append(self.convolution(f"{name}/double3x3_2", y, width, kernel=3, stride=stride))
        y = self.pool(module.pool, f"{name}/pool", x, stride=stride)
        if module.projected:
            y = self.convolution(f"{name}/pool_proj", y, module.projected)
        branches.append(y)
        joined = self._net.node("Concat", f"{name}/output", branches, axis=1)
        return self._made(joined, sum(self._channels[branch] for branch in branches))

    def head(self, x: str) -> onnx.ModelProto:
        """Add average pooling, the classifier and softmax; return the file."""
        net, width = self._net, self._channels[x]
        x = net.node("GlobalAveragePool", "pool5", [x])
        shape = net.constant("fc/shape", np.array([-1, width], np.int64))
        x = net.node("Reshape", "pool5/flat", [x, shape])
        weights = [
            net.constant("fc/weights", net.uniform((width, CLASSES), (3 / width) ** 0.5)),
            net.constant("fc/bias", net.uniform((CLASSES,), 0.05)),
        ]
        x = net.node("Gemm", "fc", [x, *weights])
        net.node("Softmax", OUTPUT, [x], axis=1)
        return net.model(
            "inception_v2_224", {INPUT: ("float32", (3, SIZE, SIZE))}, {OUTPUT: (CLASSES,)}
        )

    def _made(self, name: str, channels: int) -> str:
        self._channels[name] = channels
        return name
