"""What a server for trials is: what it needs, how it is started, and when it is ready."""

from __future__ import annotations

import http.client
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastbench.models.base import Model

HOST = "127.0.0.1"
#: The models that every model server holds, under these names.
MODELS = ("mobilenet_v1_100_224", "fraud", "fraud_noreference")
#: Programs that run inside the servers, with the servers' own Python.
FILES = Path(__file__).parent / "files"
#: The same in every server, so that they can be compared.
ONNXRUNTIME = "onnxruntime==1.31.1"
PROBE_S = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server that is started finds what is its own.

    ``python``: of its environment, whose packages lie in ``packages``. ``work``: an empty folder.
    ``ports``: a free one for each name in :attr:`LocalServer.ports`. ``models``: :data:`MODELS`.
    """

    python: Path
    packages: Path
    work: Path
    ports: Mapping[str, int]
    models: Sequence[Model]


class LocalServer(ABC):
    """A kind of server.

    ``name``: what users call it. ``about``: what it is, in a line. ``installs``: the arguments of
    one ``pip install`` after the other, versions pinned. ``ports``: names of those it listens on.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    installs: ClassVar[tuple[tuple[str, ...], ...]]
    ports: ClassVar[tuple[str, ...]]

    def missing(self) -> str | None:
        """Return what this machine lacks to run it and what to do, None = nothing."""
        return None

    @abstractmethod
    def prepare(self, place: Place) -> list[str]:
        """Write what it reads into ``place.work``; return the command that starts it."""

    def environment(self, place: Place) -> dict[str, str]:
        """Return variables of the environment that it needs beside the usual ones."""
        del place
        return {"PYTHONPATH": str(FILES)}

    @abstractmethod
    def ready(self, ports: Mapping[str, int]) -> bool:
        """Tell whether all its models answer; OSError, ValueError: not yet."""

    def clean_up(self, ports: Mapping[str, int]) -> None:
        """Remove what it leaves outside its folder when it does not end in order."""
        del ports

    @abstractmethod
    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs to give to ``fastbench run``."""


def get_json(port: int, path: str) -> Any:
    """Return what ``GET path`` answers, None for nothing.

    Raises OSError unless it is a 2xx, ValueError where that is no JSON.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
    except http.client.HTTPException as e:
        raise ConnectionError from e
    finally:
        connection.close()
    if reply.status // 100 != 2:  # noqa: PLR2004 - the class of a success
        raise ConnectionError(reply.status)
    return json.loads(body) if body.strip() else None


def models_ready(port: int, path: str) -> bool:
    """Tell whether ``GET path`` is a success for each model, whose name stands for ``{}``."""
    for name in MODELS:
        get_json(port, path.format(name))
    return True


def model_urls(scheme: str, port: int, prefix: str = "") -> list[str]:
    """Return a URL for each model."""
    return [f"{scheme}://{HOST}:{port}{prefix}/{name}" for name in MODELS]


def files_by_name(place: Place) -> str:
    """Return the files of the models by name, as JSON."""
    return json.dumps({model.name: str(model.path) for model in place.models})
