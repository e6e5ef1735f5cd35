"""Two ONNX models that cost next to nothing: for tests, and for seeing a server's own overhead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbench.models.graphs import make_model
from fastbench.models.mobilenet import SIZE

if TYPE_CHECKING:
    import onnx


def identity() -> onnx.ModelProto:
    """``input`` float32 [N, M] → ``output``, the same values."""
    return _model("identity", "Identity", ["N", "M"], ["N", "M"])


def mean_rgb() -> onnx.ModelProto:
    """``input`` float32 [N, 224, 224, 3] → ``output`` [N, 3], the mean of each channel."""
    shape: list[str | int] = ["N", SIZE, SIZE, 3]
    return _model("mean_rgb_224", "ReduceMean", shape, ["N", 3], axes=[1, 2], keepdims=0)


def _model(
    name: str, op: str, takes: list[str | int], gives: list[str | int], **attributes: Any
) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node(op, ["input"], ["output"], **attributes)],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, gives)],
    )
    return make_model(graph, random_weights=False)
