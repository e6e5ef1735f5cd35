"""The servers for trials that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.errors import UsageError
from fastbench.local_servers.gunicorn import Gunicorn
from fastbench.local_servers.kserve import KServe
from fastbench.local_servers.mlserver import MLServer
from fastbench.local_servers.tfserving import TensorFlowServing
from fastbench.local_servers.torchserve import TorchServe
from fastbench.local_servers.triton import Triton
from fastbench.local_servers.valkey import Valkey

if TYPE_CHECKING:
    from fastbench.local_servers.base import LocalServer

SERVERS: tuple[LocalServer, ...] = (
    Triton(),
    TorchServe(),
    KServe(),
    MLServer(),
    TensorFlowServing(),
    Gunicorn(),
    Valkey(),
)


def server_called(name: str) -> LocalServer:
    """Return a server by its name. Raises :class:`UsageError` where there is none."""
    for server in SERVERS:
        if server.name == name:
            return server
    names = ", ".join(server.name for server in SERVERS)
    msg = f"no server {name!r}: there are {names}"
    raise UsageError(msg)
