"""A small convolutional network for 28 x 28 digits, as an ONNX graph.

Two convolutions of 5 x 5 with 8 and 16 channels, each with ReLU and max pooling, and one fully
connected layer: the topology and the tensor names of ``mnist-8`` in the ONNX model zoo (26 KB).
The weights are pseudo-random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastbench.models.network import Network, scaled

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "Input3", "Plus214_Output_0"
SIZE, CLASSES = 28, 10
SEED = 19981101

#: Channels of the two convolutions, and the side (and stride) of the pooling behind each.
LAYERS = ((8, 2), (16, 3))


def build(scale: float = 1.0) -> onnx.ModelProto:
    """Make the graph: ``Input3`` float32 [N, 1, 28, 28] → scores [N, 10].

    ``scale``: times so many channels. Deterministic to the byte.
    """
    net = Network(SEED)
    x, before, side = INPUT, 1, SIZE
    for number, (width, pool) in enumerate(LAYERS, start=1):
        name, after = f"Convolution{number}", scaled(width, scale)
        weights = [
            net.constant(f"{name}/weights", net.he((after, before, 5, 5))),
            net.constant(f"{name}/bias", net.uniform((after,), 0.05)),
        ]
        x = net.node("Conv", name, [x, *weights], kernel_shape=[5, 5], pads=[2] * 4)
        x = net.node("Relu", f"ReLU{number}", [x])
        x = net.node(
            "MaxPool", f"Pooling{number}", [x], kernel_shape=[pool] * 2, strides=[pool] * 2
        )
        before, side = after, side // pool
    inputs = before * side * side
    shape = net.constant("Times212_reshape", np.array([-1, inputs], np.int64))
    x = net.node("Reshape", "Times212_reshaped", [x, shape])
    weights = [
        net.constant("Plus214/weights", net.uniform((inputs, CLASSES), (3 / inputs) ** 0.5)),
        net.constant("Plus214/bias", net.uniform((CLASSES,), 0.05)),
    ]
    net.node("Gemm", OUTPUT, [x, *weights])
    return net.model("mnist_cnn", {INPUT: ("float32", (1, SIZE, SIZE))}, {OUTPUT: (CLASSES,)})
