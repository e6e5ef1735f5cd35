"""KServe's own server on loopback, with models in onnxruntime; started as a program.

python kserve_app.py --http_port N --grpc_port N --workers 1 '{"NAME": "FILE", …}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
import numpy as np
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from onnx_model import OnnxModel

HOST = "127.0.0.1"


class Served(Model):
    """A file, by version 1 and 2 of the protocol."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._model = OnnxModel(path)
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return what its metadata says of the inputs."""
        return _described(self._model.inputs)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return what its metadata says of the outputs."""
        return _described(self._model.outputs)

    async def predict(self, payload: Any, *_: object, **__: object) -> Any:
        """Answer a request of either version."""
        try:
            if isinstance(payload, InferRequest):
                return self._answer(payload)
            rows = np.asarray(payload["instances"], "<f4")
            return {"predictions": self._model.run_bytes(rows.tobytes()).tolist()}
        except ValueError as error:
            raise InvalidInput(str(error)) from error

    def _answer(self, request: Any) -> Any:
        found = self._model.run({tensor.name: tensor.as_numpy() for tensor in request.inputs})
        outputs = []
        for name, values in found.items():
            outputs.append(InferOutput(name, list(values.shape), "FP32"))
            outputs[-1].set_data_from_numpy(values)
        return InferResponse(
            request.id or "1",  # without one it answers 500
            self.name,
            outputs,
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def _described(shapes: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    return [{"name": n, "datatype": "FP32", "shape": [-1, *s]} for n, s in shapes.items()]


def stay_on_loopback() -> None:
    """Bind to loopback what KServe binds to every address, without a way to say otherwise."""

    class Config(uvicorn.Config):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **{**options, "host": HOST})

    make = grpc.aio.server

    def server(*words: Any, **options: Any) -> Any:
        made = make(*words, **options)
        bind = made.add_insecure_port
        made.add_insecure_port = lambda address: bind(f"{HOST}:{address.rpartition(':')[2]}")
        return made

    uvicorn.Config, grpc.aio.server = Config, server


if __name__ == "__main__":
    stay_on_loopback()
    models = [Served(name, path) for name, path in json.loads(sys.argv[-1]).items()]
    ModelServer().start(models)
