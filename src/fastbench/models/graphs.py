"""What all ONNX files that fastbench builds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.models.base import RANDOM_WEIGHTS

if TYPE_CHECKING:
    import onnx

WEIGHTS_KEY = "fastbench.weights"  # in the file's metadata
IR_VERSION = 10
OPSET = 17


def make_model(graph: onnx.GraphProto, *, random_weights: bool) -> onnx.ModelProto:
    """Return the file of a graph; ``random_weights``: its predictions mean nothing."""
    from onnx import helper

    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="fastbench",
    )
    if random_weights:
        helper.set_model_props(model, {WEIGHTS_KEY: RANDOM_WEIGHTS})
    return model
