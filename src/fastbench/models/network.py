"""A neural network under construction: nodes and seeded weights that become an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.models.graphs import make_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import onnx

    Floats = npt.NDArray[np.float32]

#: NumPy's type → what ONNX calls it (onnx.TensorProto), without importing onnx.
_TYPES = {"float32": 1, "int64": 7}


class Network:
    """Nodes and weights in the order in which they are added.

    ``seed``: of NumPy's frozen MT19937 stream, which gives the same weights on every machine.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node whose only output is called ``name``; return that."""
        from onnx import helper

        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def he(self, shape: tuple[int, int, int, int]) -> Floats:
        """Weights of the variance 2 / fan-in that keeps activations of one size through ReLUs."""
        return self.uniform(shape, (6 / (shape[1] * shape[2] * shape[3])) ** 0.5)

    def uniform(self, shape: tuple[int, ...], limit: float, middle: float = 0.0) -> Floats:
        """Weights between ``middle - limit`` and ``middle + limit``."""
        # Only the generator's raw doubles and IEEE arithmetic: no libm, whose last bits differ.
        drawn = (self._random.random_sample(shape) * 2 - 1) * limit
        return (drawn + middle if middle else drawn).astype(np.float32)

    def model(
        self,
        name: str,
        inputs: dict[str, tuple[str, tuple[int, ...]]],
        outputs: dict[str, tuple[int, ...]],
    ) -> onnx.ModelProto:
        """Return the file, marked as one with random weights; the network is used up then.

        ``inputs``: name → (NumPy's type, shape of a sample); ``outputs``, float32: name → shape.
        Every tensor has a dynamic batch dimension N before that.
        """
        from onnx import helper

        def value(name: str, kind: str, shape: tuple[int, ...]) -> Any:
            return helper.make_tensor_value_info(name, _TYPES[kind], ["N", *shape])

        graph = helper.make_graph(
            self._nodes,
            name,
            [value(n, kind, shape) for n, (kind, shape) in inputs.items()],
            [value(n, "float32", shape) for n, shape in outputs.items()],
        )
        model = make_model(graph, random_weights=True)
        self._constants.reverse()
        while self._constants:  # moved one by one: there may be hundreds of megabytes
            model.graph.initializer.append(self._constants.pop())
        return model


def scaled(width: int, scale: float) -> int:
    """Return a layer's width times ``scale``, at least 1."""
    return max(1, round(width * scale))
