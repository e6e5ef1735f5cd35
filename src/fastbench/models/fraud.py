"""The credit-card fraud network: 30 (+ 256) → 18 → 27 → 40 → 2, as an ONNX graph.

The topology is that of the network with which aibench measures (three sigmoid layers, softmax),
so that it costs what that one costs; there, however, the reference data are connected to nothing.
Here the first layer takes both inputs, and changing either changes the answer. In front of it
each column is divided by its size in the published data, or the seconds alone would saturate it.
Weights are pseudo-random, from NumPy's frozen MT19937 stream: the same bytes everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.models.graphs import make_model

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

    Floats = npt.NDArray[np.float32]

TRANSACTION, REFERENCE, OUTPUT = "transaction", "reference", "output"
COLUMNS, REFERENCE_VALUES = 30, 256
LAYERS = (18, 27, 40, 2)
SEED = 20130901

#: What a column is divided by: about its size for Time (a day) and Amount, V1 … V28 as they are.
SIZES = (86_400.0, *(1.0,) * 28, 250.0)

#: Times the size that keeps activations of one variance: sigmoids flatten, and two transactions
#: are to give visibly different answers.
GAIN = 4.0


@dataclass(frozen=True, slots=True)
class Layer:
    """``y = x @ weights + bias``: float32 of shape (inputs, outputs) and (outputs,)."""

    weights: Floats
    bias: Floats


def build(*, reference: bool) -> onnx.ModelProto:
    """Make the graph: ``transaction`` [N, 30], ``reference`` [N, 256] → ``output`` [N, 2].

    ``reference``: whether there is that input. Deterministic to the byte.
    """
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    takes = [value(TRANSACTION, TensorProto.FLOAT, ["N", COLUMNS])]
    if reference:
        takes.append(value(REFERENCE, TensorProto.FLOAT, ["N", REFERENCE_VALUES]))
    nodes, constants = _nodes(make_layers(reference=reference), reference=reference)
    graph = helper.make_graph(
        nodes, "fraud", takes, [value(OUTPUT, TensorProto.FLOAT, ["N", LAYERS[-1]])], constants
    )
    return make_model(graph, random_weights=True)


def make_layers(*, reference: bool) -> list[Layer]:
    """Draw the weights of all layers."""
    random = np.random.RandomState(SEED)
    first = COLUMNS + (REFERENCE_VALUES if reference else 0)
    layers = []
    for before, after in zip((first, *LAYERS), LAYERS, strict=False):
        limit = GAIN * (3 / before) ** 0.5
        weights, bias = _uniform(random, (before, after), limit), _uniform(random, (after,), 0.05)
        layers.append(Layer(weights, bias))
    return layers


def _uniform(random: np.random.RandomState, shape: tuple[int, ...], limit: float) -> Floats:
    return ((random.random_sample(shape) * 2 - 1) * limit).astype(np.float32)


def _nodes(layers: list[Layer], *, reference: bool) -> tuple[list[Any], list[Any]]:
    from onnx import helper, numpy_helper

    constants = [numpy_helper.from_array(np.array(SIZES, np.float32), "sizes")]
    nodes = [helper.make_node("Div", [TRANSACTION, "sizes"], ["scaled"])]
    x = "scaled"
    if reference:
        nodes.append(helper.make_node("Concat", [x, REFERENCE], ["both"], axis=1))
        x = "both"
    for i, layer in enumerate(layers):
        last = i + 1 == len(layers)
        names = [f"layer{i}/weights", f"layer{i}/bias"]
        constants += map(numpy_helper.from_array, (layer.weights, layer.bias), names)
        nodes.append(helper.make_node("Gemm", [x, *names], [f"layer{i}"]))
        x = OUTPUT if last else f"sigmoid{i}"
        operator = "Softmax" if last else "Sigmoid"  # softmax: over the last axis
        nodes.append(helper.make_node(operator, [f"layer{i}"], [x]))
    return nodes, constants
