"""TorchServe's management API: registering models from archives, and unregistering them.

Source: TorchServe's documentation of that API, "Register a model" and "Unregister a model". A
server takes neither unless it runs with ``--enable-model-api``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode

import msgspec

from fastbench.errors import ConnectError, ServerError
from fastbench.servers.http_server import HttpServer, is_ok, refusal
from fastbench.servers.torchserve import ask_management

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastbench.servers.http_replies import Answer
    from fastbench.targets import Target

LOADING_S = 600.0  # until a worker has loaded the model, and its packages were installed
_NOT_ALLOWED = 405


class _Said(msgspec.Struct):
    status: str = ""


@dataclasses.dataclass(frozen=True)
class Archive:
    """Where a model is, and how it is served.

    ``url``: a file's name in the server's model store, or where the server may fetch it. ``batch``:
    inferences gathered into one run, which wait at most ``batch_delay_ms`` for each other; None:
    as the server is set.
    """

    url: str
    batch: int | None = None
    batch_delay_ms: int | None = None


class Management:
    """The management API of the server of a model. ``fields``: of each request.

    Raises :class:`ConnectError` where it does not answer.
    """

    def __init__(self, target: Target, fields: Mapping[str, str]) -> None:
        self._target, self._fields = target, dict(fields)
        try:
            self._server = HttpServer(dataclasses.replace(target, port=target.management))
        except ConnectError as error:
            msg = (
                f"{target.url}: the management API on port {target.management} does not answer "
                f"({error}); another port is given as ?management=PORT"
            )
            raise ConnectError(msg) from error

    def load(self, archive: Archive) -> str:
        """Register the model and wait for one worker; return what is said of its workers.

        Raises :class:`ServerError` where it is refused, or no worker gets ready.
        """
        asked = {
            "url": archive.url,
            "model_name": unquote(self._target.model),
            "initial_workers": 1,
            "synchronous": "true",
            "batch_size": archive.batch,
            "max_batch_delay": archive.batch_delay_ms,
        }
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        self._sure(self._server.post(f"/models?{query}", self._fields, b"", LOADING_S))
        return ask_management(self._target, self._fields).details["readiness"]

    def unload(self) -> str:
        """Unregister the model; return what the server says. Raises :class:`ServerError`."""
        path = "/".join(filter(None, ("/models", self._target.model, self._target.version)))
        answer = self._sure(self._server.delete(path, self._fields, LOADING_S))
        return self._server.read(path, answer, _Said).status

    def _sure(self, answer: Answer) -> Answer:
        if is_ok(answer):
            return answer
        allow = answer.status == _NOT_ALLOWED
        hint = "; run the server with --enable-model-api" if allow else ""
        msg = f"{self._target.url}: the management API refused: {refusal(answer)}{hint}"
        raise ServerError(msg)
