"""A model in onnxruntime: the same in every server, on one thread, so that they can be compared.

Runs inside the servers, where fastbench is not installed: only NumPy and onnxruntime are.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Tensor = NDArray[np.float32]


class OnnxModel:
    """A file whose inputs are float32, each with a first dimension of any size.

    ``inputs``, ``outputs``: the shape of one sample by name, in the order of the graph.
    """

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._one_at_a_time = threading.Lock()
        self.inputs = {i.name: tuple(i.shape[1:]) for i in self._session.get_inputs()}
        self.outputs = {o.name: tuple(o.shape[1:]) for o in self._session.get_outputs()}

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the outputs by name. Raises ValueError where names or sizes do not fit."""
        if set(tensors) != set(self.inputs):
            msg = f"the model takes {', '.join(self.inputs)}, not {', '.join(tensors) or 'nothing'}"
            raise ValueError(msg)
        shaped = {
            name: np.asarray(tensors[name], np.float32).reshape(-1, *shape)
            for name, shape in self.inputs.items()
        }
        with self._one_at_a_time:  # some servers call it in several threads
            return dict(zip(self.outputs, self._session.run(None, shaped), strict=True))

    def run_bytes(self, data: bytes) -> Tensor:
        """Return the first output for the little-endian bytes of all inputs, one after the other.

        Raises ValueError where they are not those of whole samples.
        """
        sizes = [math.prod(shape) for shape in self.inputs.values()]
        samples, rest = divmod(len(data), 4 * sum(sizes))
        if rest or not samples:
            msg = f"{len(data)} bytes: one sample has {4 * sum(sizes)}"
            raise ValueError(msg)
        ends = np.cumsum([samples * size for size in sizes])[:-1]
        parts = np.split(np.frombuffer(data, "<f4"), ends)
        found = self.run(dict(zip(self.inputs, parts, strict=True)))
        return next(iter(found.values()))
