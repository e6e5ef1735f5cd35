"""What is special to a kind of server: where inferences go, and what they look like.

A dialect knows nothing of workloads: it is given inputs by name, and says how they are sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.models.base import TensorSpec
    from fastbench.monitor.metrics import MetricsSource
    from fastbench.servers.grpc_server import GrpcServer
    from fastbench.servers.http_messages import Body, JsonForm, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.http_server import HttpServer
    from fastbench.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model in a server, as the server describes both; empty = it does not say.

    ``server``: name and version. ``takes``, ``gives``: the inputs and outputs of the model.
    ``extensions``: of the protocol. ``max_batch``: samples in one inference; 0 = not
    known. ``details``: more, for the result. ``against_raw``: why raw
    bytes are not sent unless asked for; empty = they may be. ``ask``: makes what asks the server
    about itself and its models, this one by the name ``key``, where it can be asked.
    ``signature``: of the model, that each request names; empty = none is named.
    """

    server: str = ""
    model: str = ""
    backend: str = ""
    takes: tuple[TensorSpec, ...] = ()
    gives: tuple[TensorSpec, ...] = ()
    extensions: tuple[str, ...] = ()
    max_batch: int = 0
    details: Mapping[str, str] = field(default_factory=dict)
    against_raw: str = ""
    key: str = ""
    signature: str = ""
    ask: Callable[[tuple[str, ...]], MetricsSource] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """``key``, where the server can be asked: to another it would be no name of anything."""
        return () if self.ask is None else (self.key,)


class Dialect(Protocol):
    """One kind of server over HTTP."""

    @property
    def kind(self) -> str:
        """Its name in results."""
        ...

    def resource(self, target: Target) -> str:
        """Return where inferences are posted to."""
        ...

    def meet(self, server: HttpServer, fields: Mapping[str, str]) -> Served:
        """Ask the server whether it is ready, and what it serves; ``fields``: of each request.

        Raises :class:`FastbenchError` where an inference cannot succeed.
        """
        ...

    def body(self, form: str, sent: Sequence[Sent], served: Served) -> Body:
        """Return the body of an inference in a form that is not JSON."""
        ...

    def json_form(self, form: str, sent: Sent, served: Served) -> JsonForm:
        """Return what stands around the numbers of the one input in JSON."""
        ...

    def tensor(self, answer: Answer, served: Served) -> NDArray[np.float32]:
        """Return the first output in an answer; empty where there is none."""
        ...


class GrpcDialect(Protocol):
    """One kind of server over gRPC."""

    @property
    def kind(self) -> str:
        """Its name in results."""
        ...

    @property
    def method(self) -> str:
        """The path of the method that infers, ``/package.Service/Method``."""
        ...

    def meet(self, server: GrpcServer) -> Served:
        """Ask the server whether it is ready, and what it serves.

        Raises :class:`FastbenchError` where an inference cannot succeed.
        """
        ...

    def body(self, form: str, target: Target, sent: Sequence[Sent], served: Served) -> Body:
        """Return the message of an inference."""
        ...

    def tensor(self, message: bytes, served: Served) -> NDArray[np.float32]:
        """Return the first output in a reply's message; empty where there is none."""
        ...


def model_path(target: Target, versions: str) -> str:
    """Return the path of a model, ``versions`` before the version where the URL has one."""
    return f"{target.model}{versions}{target.version}" if target.version else target.model
