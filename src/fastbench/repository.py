"""Models that a server has, or fetches, by itself: loading and unloading them there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastbench.bodies import is_open_inference
from fastbench.errors import ServerError, UsageError
from fastbench.password import password
from fastbench.servers.connect import endpoints, lasting
from fastbench.servers.grpc_server import GrpcServer
from fastbench.servers.http_messages import fields_of
from fastbench.servers.http_server import HttpServer
from fastbench.servers.torchserve_control import Management
from fastbench.servers.triton_control import READY, GrpcControl, HttpControl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fastbench.config import TlsConfig
    from fastbench.servers.torchserve_control import Archive
    from fastbench.targets import Target

    Control = HttpControl | GrpcControl

_UNKNOWN = "?"  # in place of a version
_TORCHSERVE = ("torchserve://", "torchserve+grpc://")
_OF_ARCHIVES = {"model", "batch", "min_batch_timeout_ms"}  # options that TorchServe understands


def has_one(url: str, storing: Collection[str]) -> bool:
    """Tell whether a target's server loads models by itself, from a repository or an archive.

    ``storing``: options that were given and say how a model is stored. Raises :class:`UsageError`
    where there are any which such a server does not take.
    """
    if url.startswith(_TORCHSERVE):
        if "model" in storing and _OF_ARCHIVES.issuperset(storing):
            return True
        msg = (
            f"{url}: TorchServe loads archives: give as MODEL the name of a .mar file in its model "
            "store, or its URL; of the options it takes --server-batch and "
            "--server-min-batch-timeout"
        )
        raise UsageError(msg)
    if not is_open_inference(url):
        return False
    if storing:
        msg = (
            f"{url}: the server loads what is in its repository, as it is configured there: leave "
            "out MODEL and all options but those that log in"
        )
        raise UsageError(msg)
    return True


def load(url: str, tls: TlsConfig | None = None, archive: Archive | None = None) -> Iterator[str]:
    """Let each server at ``url`` load the model that it names; yield a line for each.

    ``tls``: how, where it is over TLS; ``archive``: of TorchServe's model. Raises
    :class:`ServerError` where a server refuses or has no version of the model ready afterwards,
    :class:`UsageError` where ``url`` names a version.
    """
    if archive is not None:
        for target, management in _managements(url, tls):
            _refuse_version(target)
            told = management.load(archive)
            yield f"{target.url}: loaded {target.model} from {archive.url}: {told}"
        return
    for target, control in _controls(url, tls):
        control.load(target.model)
        states = _states(control, target.model)
        if _is_known(states) and not any(state.startswith(READY) for state in states.values()):
            msg = f"{target.url}: loaded {target.model}, but it is not ready: {_said(states)}"
            raise ServerError(msg)
        yield f"{target.url}: loaded {target.model}: {_said(states)}"


def unload(url: str, tls: TlsConfig | None = None) -> Iterator[str]:
    """Let each server at ``url`` forget the model that it names; yield a line for each.

    Raises as :func:`load`; a model that is not loaded is no error, but for TorchServe, which also
    takes a version.
    """
    if url.startswith(_TORCHSERVE):
        for target, management in _managements(url, tls):
            yield f"{target.url}: unloaded {target.model}: {management.unload()}"
        return
    for target, control in _controls(url, tls):
        control.unload(target.model)
        yield f"{target.url}: unloaded {target.model}: {_said(_states(control, target.model))}"


def _controls(url: str, tls: TlsConfig | None) -> Iterator[tuple[Target, Control]]:
    if not is_open_inference(url):
        msg = (
            f"{url}: only targets triton+http://, triton+grpc:// and torchserve:// can be told that"
        )
        raise UsageError(msg)
    for target in endpoints(lasting(url, tls), tls):
        _refuse_version(target)
        yield target, _control(target, tls)


def _managements(url: str, tls: TlsConfig | None) -> Iterator[tuple[Target, Management]]:
    for target in endpoints(lasting(url, tls), tls):
        yield target, Management(target, fields_of(target, None, (), password()))


def _refuse_version(target: Target) -> None:
    if target.version:
        msg = f"{target.url}: a server loads all versions that it is set to: leave out /VERSION"
        raise UsageError(msg)


def _control(target: Target, tls: TlsConfig | None) -> Control:
    if target.kind == "triton+grpc":
        return GrpcControl(GrpcServer(target, tls))
    return HttpControl(HttpServer(target, tls), fields_of(target, None, (), password()))


def _states(control: Control, model: str) -> dict[str, str]:
    """Return what each version of a model is; where a server does not tell (KServe), why."""
    try:
        index = control.index()
    except ServerError as error:
        return {_UNKNOWN: f"its state is not told: {error}"}
    return {
        found.version: " ".join(f"{found.state} {found.reason}".split())
        for found in index
        if found.name == unquote(model)
    }


def _is_known(states: dict[str, str]) -> bool:
    return bool(states.keys() - {_UNKNOWN})


def _said(states: dict[str, str]) -> str:
    plain = {"", _UNKNOWN}
    said = (state if v in plain else f"version {v} {state}" for v, state in states.items() if state)
    return ", ".join(said) or "its state is not told"
