"""A stand-in for TensorFlow Serving, whose own program no package ships; started as a program.

It answers by the official stubs (tensorflow-serving-api) over gRPC, and by the documented REST API,
from models in onnxruntime. It shows that requests are understood, not how fast the real server is.

    python tfserving_standin.py GRPC_PORT REST_PORT '{"NAME": "FILE", …}'

Source of the REST API: tensorflow.org/tfx/serving/api_rest.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.server
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import tensorflow_error_codes  # noqa: F401 - before the stubs, which need it
from google.protobuf.json_format import MessageToDict
from onnx_model import OnnxModel
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "127.0.0.1"
SIGNATURE, VERSION = "serving_default", 1
LONGEST_BYTES = 100_000_000
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


class UnknownError(LookupError):
    """A model, a version or a signature that is not there."""


class Models:
    """The files by name, each with one version and one signature."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._models = {name: OnnxModel(path) for name, path in files.items()}

    def get(self, name: str, version: int = VERSION, signature: str = "") -> OnnxModel:
        """Return a model. Raises :class:`UnknownError`."""
        if name not in self._models or version not in {0, VERSION}:
            msg = f"Servable not found for request: {f'Specific({name}, {version})'}"
            raise UnknownError(msg)
        if signature not in {"", SIGNATURE}:
            msg = f'Serving signature name: "{signature}" not found in signature def'
            raise UnknownError(msg)
        return self._models[name]

    def metadata(self, name: str, version: int = VERSION) -> Any:
        """Return the signature of a model as its metadata."""
        model = self.get(name, version)
        signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
        for infos, shapes in (
            (signature.inputs, model.inputs),
            (signature.outputs, model.outputs),
        ):
            for tensor, shape in shapes.items():
                infos[tensor].name, infos[tensor].dtype = f"{tensor}:0", types_pb2.DT_FLOAT
                for size in (-1, *shape):
                    infos[tensor].tensor_shape.dim.add(size=size)
        found = get_model_metadata_pb2.GetModelMetadataResponse()
        found.model_spec.name, found.model_spec.version.value = name, VERSION
        described = get_model_metadata_pb2.SignatureDefMap(signature_def={SIGNATURE: signature})
        found.metadata["signature_def"].Pack(described)
        return found

    def status(self, name: str, version: int = VERSION) -> Any:
        """Return that a model is available."""
        self.get(name, version)
        found = get_model_status_pb2.GetModelStatusResponse()
        found.model_version_status.add(version=VERSION, state=AVAILABLE)
        return found


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC looks it up by this name
        """Answer the inputs by all outputs, or those of the filter, as bytes."""
        spec = request.model_spec
        with refusing(context):
            model = self._models.get(spec.name, spec.version.value, spec.signature_name)
            tensors = {name: array_of(tensor) for name, tensor in request.inputs.items()}
            check_shapes(model, tensors)
            found = model.run(tensors)
            wanted = list(request.output_filter) or list(found)
            reply = predict_pb2.PredictResponse()
            reply.model_spec.name, reply.model_spec.version.value = spec.name, VERSION
            reply.model_spec.signature_name = SIGNATURE
            for name in wanted:
                reply.outputs[name].CopyFrom(tensor_of(found[name]))
            return reply

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC looks it up by this name
        """Describe the signature."""
        with refusing(context):
            return self._models.metadata(request.model_spec.name, request.model_spec.version.value)


class Status(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC looks it up by this name
        """Say that it is available."""
        with refusing(context):
            return self._models.status(request.model_spec.name, request.model_spec.version.value)


@contextlib.contextmanager
def refusing(context: Any) -> Iterator[None]:
    """End a call with the status that fits what is raised inside."""
    try:
        yield
    except UnknownError as error:
        context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except ValueError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def array_of(tensor: Any) -> Any:
    """Return a TensorProto. Raises ValueError where it is no float32, or not of its shape."""
    if tensor.dtype != types_pb2.DT_FLOAT:
        msg = f"expected DT_FLOAT, got {types_pb2.DataType.Name(tensor.dtype)}"
        raise ValueError(msg)
    content, shape = tensor.tensor_content, [dim.size for dim in tensor.tensor_shape.dim]
    if min(shape, default=0) < 0:
        msg = f"expected a known shape, got {shape}"
        raise ValueError(msg)
    values = np.frombuffer(content, "<f4") if content else np.array(tensor.float_val, "<f4")
    return values.reshape(shape)


def check_shapes(model: OnnxModel, tensors: Mapping[str, Any]) -> None:
    """Raise ValueError where a tensor is not samples of the model's shape."""
    for name, values in tensors.items():
        sample = model.inputs.get(name, values.shape[1:])
        if values.ndim == 0 or values.shape[1:] != sample:
            msg = f"input {name} has the shape {values.shape}, not (-1, {str(sample)[1:]}"
            raise ValueError(msg)


def tensor_of(values: Any) -> Any:
    """Return a TensorProto with the values as bytes."""
    content = values.astype("<f4").tobytes()
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=content)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def handler_of(models: Models) -> type[http.server.BaseHTTPRequestHandler]:
    """Return what answers REST requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            """Answer status and metadata."""
            found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata)?", self.path)
            if found is None:
                self._reply(404, {"error": f"Malformed request: GET {self.path}"})
                return
            name, version, metadata = found.groups()
            ask = models.metadata if metadata else models.status
            self._answer(
                lambda: MessageToDict(
                    ask(name, int(version or VERSION)), preserving_proto_field_name=True
                )
            )

        def do_POST(self) -> None:
            """Answer predictions."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict", self.path)
            if found is None:
                self._reply(404, {"error": f"Malformed request: POST {self.path}"})
                return
            name, version = found.groups()
            self._answer(lambda: predict(models.get(name, int(version or VERSION)), body))

        def _answer(self, ask: Any) -> None:
            try:
                self._reply(200, ask())
            except UnknownError as error:
                self._reply(404, {"error": str(error)})
            except (ValueError, KeyError, TypeError) as error:
                self._reply(400, {"error": str(error)})

        def _reply(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def predict(model: OnnxModel, body: bytes) -> dict[str, Any]:
    """Answer rows by predictions, columns by outputs. Raises ValueError where they do not fit."""
    asked = json.loads(body)
    rows = "instances" in asked
    given = asked["instances" if rows else "inputs"]
    if rows and isinstance(given[0], dict):
        given = {name: [row[name] for row in given] for name in given[0]}
    named = given if isinstance(given, dict) else {next(iter(model.inputs)): given}
    found = model.run({name: np.asarray(values, "<f4") for name, values in named.items()})
    answer = next(iter(found.values())).tolist()
    return {"predictions" if rows else "outputs": answer}


def main() -> None:
    """Serve until a signal ends it."""
    grpc_port, rest_port, files = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    models = Models(files)
    limits = [("grpc.max_receive_message_length", LONGEST_BYTES)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), options=limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), server)
    server.add_insecure_port(f"{HOST}:{grpc_port}")
    server.start()
    http.server.ThreadingHTTPServer((HOST, rest_port), handler_of(models)).serve_forever()


if __name__ == "__main__":
    main()
