"""``triton+http://``: Triton, and other servers of the Open Inference Protocol v2 over HTTP.

Sources: KServe's Open Inference Protocol (REST), Triton's extensions binary_tensor_data,
statistics and model_configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastbench.errors import ServerError
from fastbench.models.base import TensorSpec
from fastbench.servers.dialect import Served, model_path
from fastbench.servers.http_server import is_ok, refusal
from fastbench.servers.oip_messages import NUMPY_TYPES, binary_body, json_form, tensor_of
from fastbench.servers.readiness import why_model_not_ready, why_server_not_ready
from fastbench.servers.triton_config import EXTENSION as CONFIGURATION
from fastbench.servers.triton_config import from_json, in_words
from fastbench.servers.triton_control import HttpControl
from fastbench.servers.triton_metrics import TritonMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.servers.http_messages import Body, JsonForm, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.http_server import HttpServer
    from fastbench.servers.triton_config import ModelConfig
    from fastbench.targets import Target

BINARY, STATISTICS = "binary_tensor_data", "statistics"
HEALTH = "/v2/health/ready"


class _About(msgspec.Struct):
    """The reply to ``GET /v2``."""

    name: str = ""
    version: str = ""
    extensions: list[str] | None = None


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int] | None = None


class _Model(msgspec.Struct):
    """The reply to ``GET /v2/models/MODEL``."""

    name: str
    platform: str = ""
    versions: list[str] | None = None
    inputs: list[_Tensor] | None = None
    outputs: list[_Tensor] | None = None


class Triton:
    """A server of the Open Inference Protocol v2."""

    kind = "triton"

    def resource(self, target: Target) -> str:
        """Return the path that infers."""
        return f"{_path(target)}/infer"

    def meet(self, server: HttpServer, fields: Mapping[str, str]) -> Served:
        """Ask whether server and model are ready, and what they are."""
        path = _path(server.target)
        _check_server(server, fields)
        about = server.told("/v2", fields, _About)
        _check_model(server, path, fields)
        model = server.told(path, fields, _Model)
        told = about.extensions or []
        config = _config(server, path, fields) if CONFIGURATION in told else None
        name = f"{about.name} {about.version}".strip()
        return Served(
            server=name,
            model=model.name,
            backend=model.platform,
            takes=_specs(model.inputs),
            gives=_specs(model.outputs),
            extensions=tuple(told),
            max_batch=config.max_batch_size if config else 0,
            details=_details(about, model) | (in_words(config) if config else {}),
            against_raw="" if BINARY in told else _against_raw(server.target, name),
            key=f"{path}/stats",
            ask=(lambda paths: TritonMetrics(server, paths, fields))
            if STATISTICS in told
            else None,
        )

    def body(self, _form: str, sent: Sequence[Sent], served: Served) -> Body:
        """Return JSON and then the bytes of each input."""
        return binary_body(sent, [spec.name for spec in served.gives])

    def json_form(self, _form: str, sent: Sent, served: Served) -> JsonForm:
        """Return the request as JSON, numbers in one flat list."""
        return json_form(sent, [spec.name for spec in served.gives])

    def tensor(self, answer: Answer, served: Served) -> NDArray[np.float32]:
        """Return the first output that the model names."""
        return tensor_of(answer, served.gives[0].name if served.gives else "")


def _config(server: HttpServer, path: str, fields: Mapping[str, str]) -> ModelConfig | None:
    """Return the model's configuration; None where it is not told."""
    answer = server.get(f"{path}/config", fields)
    try:
        return from_json(answer.body) if is_ok(answer) else None
    except msgspec.MsgspecError:
        return None


def _path(target: Target) -> str:
    return f"/v2/models/{model_path(target, '/versions/')}"


def _check_server(server: HttpServer, fields: Mapping[str, str]) -> None:
    ready = server.get(HEALTH, fields)
    if not is_ok(ready):
        said = f"GET {HEALTH} was answered {refusal(ready)}"
        listed = HttpControl(server, fields).listed()
        raise ServerError(why_server_not_ready(server.target, said, listed))


def _check_model(server: HttpServer, path: str, fields: Mapping[str, str]) -> None:
    ready = server.get(f"{path}/ready", fields)
    if is_ok(ready):
        return
    about = server.get(path, fields)
    said = f"GET {path}/ready was answered {refusal(ready)}"
    refused = "" if is_ok(about) else f"GET {path} was answered {refusal(about)}"
    listed = HttpControl(server, fields).listed()
    raise ServerError(why_model_not_ready(server.target, said, refused, listed))


def _specs(tensors: list[_Tensor] | None) -> tuple[TensorSpec, ...]:
    """Return what the model takes or gives; the name of a type that is not known stays."""
    return tuple(
        TensorSpec(
            t.name,
            NUMPY_TYPES.get(t.datatype, t.datatype),
            None if t.shape is None else tuple(None if d < 0 else d for d in t.shape),
        )
        for t in tensors or ()
    )


def _details(about: _About, model: _Model) -> dict[str, str]:
    lists = {"extensions": about.extensions, "model_versions": model.versions}
    return {name: ", ".join(values) for name, values in lists.items() if values}


def _against_raw(target: Target, name: str) -> str:
    return (
        f"{target.url} ({name}) does not announce the extension {BINARY}: use --body json, which "
        "is slow, or --body raw where it takes bytes all the same"
    )
