"""A runtime of MLServer: runs the ONNX file that the model's settings name."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceResponse
from onnx_model import OnnxModel


class Served(MLModel):
    """What ``implementation`` in ``model-settings.json`` names."""

    async def load(self) -> bool:
        """Load the file."""
        self._model = OnnxModel(self.settings.parameters.uri)
        return True

    async def predict(self, payload: Any) -> Any:
        """Answer all inputs by all outputs."""
        tensors = {
            tensor.name: np.asarray(NumpyCodec.decode_input(tensor)) for tensor in payload.inputs
        }
        try:
            found = self._model.run(tensors)
        except ValueError as error:
            raise InferenceError(str(error)) from error
        outputs = [NumpyCodec.encode_output(name, values) for name, values in found.items()]
        return InferenceResponse(model_name=self.name, outputs=outputs)
