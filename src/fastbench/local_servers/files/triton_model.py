"""A model of Triton's Python backend: runs the ONNX file that its configuration names."""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as pb_utils
from onnx_model import OnnxModel


class TritonPythonModel:
    """What the backend looks for in a ``model.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file that the parameter ``onnx`` names."""
        config = json.loads(args["model_config"])
        self._model = OnnxModel(config["parameters"]["onnx"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself, with the outputs that it asks for."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            found = self._model.run(tensors)
        except Exception as error:  # noqa: BLE001 - a model.py that raises fails all requests
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, found[name]) for name in wanted])
