"""The oracle: a model run by onnxruntime in this process, to check a server's replies against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbench.errors import ModelError
from fastbench.interrupts import deferred

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fastbench.models.base import Model


class Oracle:
    """An ONNX model in onnxruntime on the CPU, on one thread and with its usual optimisations.

    Raises :class:`ModelError` for another backend or a file that onnxruntime refuses.
    """

    def __init__(self, model: Model) -> None:
        """Load ``model``."""
        if model.backend != "ONNX":
            msg = f"model {model.name}: only ONNX models can be checked, this is {model.backend}"
            raise ModelError(msg)
        with deferred():
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised below, not printed
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(model.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime raises a dozen unrelated classes
            msg = f"model {model.path}: onnxruntime cannot load it: {_one_line(e)}"
            raise ModelError(msg) from e
        self._names = [value.name for value in self._session.get_inputs()]

    def run(self, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return the outputs for ``inputs``, both in the order of the graph.

        Raises :class:`ModelError` when number, shape or type do not fit the model.
        """
        if len(inputs) != len(self._names):
            msg = f"the model takes {len(self._names)} inputs, not {len(inputs)}"
            raise ModelError(msg)
        try:
            feed = dict(zip(self._names, inputs, strict=True))
            return list(self._session.run(None, feed))
        except Exception as e:
            msg = f"onnxruntime cannot run the model on these inputs: {_one_line(e)}"
            raise ModelError(msg) from e


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
