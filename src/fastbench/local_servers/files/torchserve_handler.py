"""A handler of TorchServe: runs the ONNX file of its archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx_model import OnnxModel
from ts.utils.util import PredictionException


class Handler:
    """What TorchServe looks for in a handler's file."""

    def initialize(self, context: Any) -> None:
        """Load the file that the archive's manifest names."""
        folder = Path(context.system_properties["model_dir"])
        self._model = OnnxModel(str(folder / context.manifest["model"]["serializedFile"]))

    def handle(self, requests: list[dict[str, Any]], _context: Any) -> list[str]:
        """Answer each request by a JSON list: the first output, a row for each sample.

        A request is bytes, JSON, or a file for each input of the model (one may have any name).
        """
        try:
            return [json.dumps(self._answer(request).tolist()) for request in requests]
        except Exception as error:
            raise PredictionException(str(error), 400) from error

    def _answer(self, request: dict[str, Any]) -> Any:
        if len(request) == 1:
            [value] = request.values()
            if isinstance(value, dict):
                value = np.asarray(value["instances"], "<f4").tobytes()
            return self._model.run_bytes(bytes(value))
        return self._model.run_bytes(b"".join(bytes(request[name]) for name in self._model.inputs))
