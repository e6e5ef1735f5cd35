"""Stand-ins for model servers over HTTP, in threads of this process: each decodes what it is sent.

They are written from the documentation of the protocols and share no code with fastbench, so that
a wrong byte shows: as a refusal, or as an answer of onnxruntime to another input.
"""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    Tensors = dict[str, np.ndarray[Any, Any]]

RAW = "application/octet-stream"


@dataclass(frozen=True)
class Reply:
    """What goes back; a body that is no bytes is JSON."""

    body: Any = b""
    status: int = 200
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """Return the bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Session:
    """A model in onnxruntime, on one thread."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {i.name: [-1, *i.shape[1:]] for i in self._session.get_inputs()}
        self.outputs = {o.name: [-1, *o.shape[1:]] for o in self._session.get_outputs()}

    def run(self, tensors: Tensors) -> Tensors:
        """Return the outputs by name."""
        return dict(zip(self.outputs, self._session.run(None, tensors), strict=True))

    def run_bytes(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return the first output for float32 of all inputs, one after the other."""
        values = np.frombuffer(data, "<f4")
        sizes = [int(np.prod(shape[1:])) for shape in self.inputs.values()]
        samples = values.size // sum(sizes)
        parts = np.split(values, np.cumsum([samples * size for size in sizes])[:-1])
        shaped = {
            name: part.reshape([samples, *shape[1:]])
            for (name, shape), part in zip(self.inputs.items(), parts, strict=True)
        }
        return next(iter(self.run(shaped).values()))


class ModelServer:
    """A server that answers by :meth:`answer`; use as a context manager."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[tuple[Mapping[str, str], bytes]] = []
        self.close_every = 0  # it says that it closes after so many answers, and closes
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Return the reply to a request."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()


class OpenInference(ModelServer):
    """The Open Inference Protocol v2 with the extensions that it is given."""

    def __init__(self, model: Path, extensions: tuple[str, ...]) -> None:
        super().__init__()
        self.session, self.extensions = Session(model), extensions
        self.states = {"/v2/health/ready": 200, "/v2/models/m/ready": 200}
        self.inputs = [
            {"name": name, "datatype": "FP32", "shape": shape}
            for name, shape in self.session.inputs.items()
        ]
        self.samples = self.executions = 0

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer what the protocol has, all else by 404."""
        path = path.replace("/versions/1", "")
        if path in self.states:
            return Reply(b"", self.states[path])
        if (method, path) == ("POST", "/v2/models/m/infer"):
            return self._infer(fields, body)
        told = {
            "/v2": {"name": "stand-in", "version": "1.2", "extensions": [*self.extensions]},
            "/v2/models/m": {
                "name": "m",
                "platform": "onnx",
                "versions": ["1"],
                "inputs": self.inputs,
                "outputs": [
                    {"name": name, "datatype": "FP32", "shape": shape}
                    for name, shape in self.session.outputs.items()
                ],
            },
        }
        if "statistics" in self.extensions:
            told["/v2/models/m/stats"] = self._statistics()
        return Reply(told[path]) if path in told else Reply({"error": "unknown"}, 404)

    def _statistics(self) -> dict[str, Any]:
        duration = {"count": self.samples, "ns": 2_000_000 * self.samples}
        stages = dict.fromkeys(("success", "queue", "compute_infer"), duration)
        version = {
            "name": "m",
            "version": "1",
            "last_inference": 1,
            "inference_count": self.samples,
            "execution_count": self.executions,
            "inference_stats": stages,
        }
        return {"model_stats": [version]}

    def _infer(self, fields: Mapping[str, str], body: bytes) -> Reply:
        length = int(fields.get("Inference-Header-Content-Length", len(body)))
        head, rest = json.loads(body[:length]), body[length:]
        sizes = [t.get("parameters", {}).get("binary_data_size", 0) for t in head["inputs"]]
        if sum(sizes) != len(rest):
            return Reply({"error": f"{len(rest)} bytes of tensors, not {sum(sizes)}"}, 400)
        tensors = {}
        for tensor in head["inputs"]:
            values = tensor.get("data")
            if values is None:
                size = tensor["parameters"]["binary_data_size"]
                values, rest = np.frombuffer(rest[:size], "<f4"), rest[size:]
            assert tensor["datatype"] == "FP32"
            tensors[tensor["name"]] = np.asarray(values, np.float32).reshape(tensor["shape"])
        with self.lock:
            self.executions += 1
            self.samples += len(next(iter(tensors.values())))
        return self._reply(head, self.session.run(tensors))

    def _reply(self, head: dict[str, Any], found: Tensors) -> Reply:
        outputs, blobs = [], []
        for wanted in head["outputs"]:
            values = found[wanted["name"]].astype("<f4")
            output = {"name": wanted["name"], "datatype": "FP32", "shape": [*values.shape]}
            if wanted.get("parameters", {}).get("binary_data"):
                blobs.append(values.tobytes())
                output["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                output["data"] = values.ravel().tolist()
            outputs.append(output)
        text = Reply({"model_name": "m", "outputs": outputs}).data
        if not blobs:
            return Reply(text, fields={"Content-Type": "application/json"})
        fields = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": RAW}
        return Reply(text + b"".join(blobs), fields=fields)


class TensorFlowServing(ModelServer):
    """TensorFlow Serving's REST API; ``metadata``: whether it tells the signature."""

    def __init__(self, model: Path, *, metadata: bool = True) -> None:
        super().__init__()
        self.session = Session(model)
        self.state, self.signature = "AVAILABLE", "serving_default"
        self.metadata = metadata

    def answer(self, method: str, path: str, _fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer status, metadata and predict for the model ``m``, all else by 404."""
        path = path.replace("/versions/1", "")
        if (method, path) == ("POST", "/v1/models/m:predict"):
            asked = json.loads(body)
            if asked.pop("signature_name", "serving_default") != self.signature:
                return Reply({"error": "Serving signature name not found"}, 400)
            [(name, values)] = asked.items()
            found = self.session.run_bytes(np.asarray(values, "<f4").tobytes())
            answers = {"instances": "predictions", "inputs": "outputs"}
            return Reply({answers[name]: found.tolist()})
        if path == "/v1/models/m":
            status = {"error_code": "OK", "error_message": ""}
            version = {"version": "1", "state": self.state, "status": status}
            return Reply({"model_version_status": [version]})
        if path == "/v1/models/m/metadata" and self.metadata:
            return Reply(self._metadata())
        return Reply({"error": f"Servable not found for request: {path}"}, 404)

    def _metadata(self) -> dict[str, Any]:
        def tensors(shapes: dict[str, list[int]]) -> dict[str, Any]:
            return {
                name: {
                    "dtype": "DT_FLOAT",
                    "name": f"{name}:0",
                    "tensor_shape": {
                        "unknown_rank": False,
                        "dim": [{"size": str(size), "name": ""} for size in shape],
                    },
                }
                for name, shape in shapes.items()
            }

        signature = {
            "inputs": tensors(self.session.inputs),
            "outputs": tensors(self.session.outputs),
            "method_name": "tensorflow/serving/predict",
        }
        found = {"@type": "type", "signature_def": {self.signature: signature}}
        spec = {"name": "m", "signature_name": "", "version": "1"}
        return {"model_spec": spec, "metadata": {"signature_def": found}}


class TorchInference(ModelServer):
    """TorchServe's inference API with a handler that takes bytes, JSON and forms."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self.session = Session(model)

    def answer(self, method: str, path: str, fields: Mapping[str, str], body: bytes) -> Reply:
        """Answer predictions of the model ``m``, all else by 404."""
        if (method, path) not in {("POST", "/predictions/m"), ("POST", "/predictions/m/1.0")}:
            return Reply({"code": 404, "type": "ModelNotFoundException", "message": "none"}, 404)
        kind = fields["Content-Type"]
        if kind == "application/json":
            body = np.asarray(json.loads(body)["instances"], "<f4").tobytes()
        elif kind.startswith("multipart/form-data"):
            files = form_of(kind, body)
            names = {name: name for name in self.session.inputs} if len(files) > 1 else ["data"]
            body = b"".join(files[name] for name in names)
        return Reply(self.session.run_bytes(body)[0].tolist())  # without a type, as it has none


class TorchManagement(ModelServer):
    """TorchServe's management API; ``states``: of the workers of the model ``m``."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states, self.status = states, 200

    def answer(self, _method: str, path: str, _fields: Mapping[str, str], _body: bytes) -> Reply:
        """Describe the model."""
        if path not in {"/models/m", "/models/m/1.0"}:
            return Reply({"code": 404, "message": "Model not found: x"}, 404)
        workers = [{"id": str(9000 + i), "status": s} for i, s in enumerate(self.states)]
        model = {"modelName": "m", "modelVersion": "1.0", "batchSize": 1, "maxBatchDelay": 100}
        return Reply([model | {"runtime": "python", "workers": workers}], self.status)


def form_of(kind: str, body: bytes) -> dict[str, bytes]:
    """Return the files of a form by name, as the standard library reads it."""
    data = f"Content-Type: {kind}\r\n\r\n".encode() + body
    message = email.message_from_bytes(data, policy=email.policy.HTTP)
    assert isinstance(message, email.message.EmailMessage)
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        found[name] = content
    return found


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # connections may outlive the test that made them
    request_queue_size = 128

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Say nothing: clients may go away in the middle."""


def _handler(owner: ModelServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        answered = 0

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Answer."""
            self.reply(b"")

        def do_DELETE(self) -> None:
            """Answer."""
            self.reply(b"")

        def do_POST(self) -> None:
            """Answer."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with owner.lock:
                owner.bodies.append((dict(self.headers), body))
            self.reply(body)

        def reply(self, body: bytes) -> None:
            with owner.lock:
                owner.asked.append((self.command, self.path))
            self.answered += 1
            reply = owner.answer(self.command, self.path, self.headers, body)
            self.send_response(reply.status)
            for name, value in reply.fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.data)))
            if owner.close_every and self.answered % owner.close_every == 0:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(reply.data)

    return Handler
