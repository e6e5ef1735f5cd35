"""Why a server of the Open Inference Protocol, or a model in it, is not ready, and what helps.

Triton says "not ready" also of a model that it does not have, and of itself while any of its models
failed to load, so that waiting would never help: what a server has in its repository, or else what
it says of the model, tells these apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastbench.password import hidden
from fastbench.servers.triton_control import LOADING, READY, UNLOADED, UNTOLD

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fastbench.servers.triton_control import Indexed
    from fastbench.targets import Target

LOG = "look into the server's log"
FAILED = "mend it, or start Triton with --strict-readiness=false, which is ready without it"
_MOST = 10  # models that are named
_LONGEST = 120  # characters of a reason


def why_server_not_ready(target: Target, said: str, listed: Sequence[Indexed] | None) -> str:
    """Return one line about the server of ``target``; ``said`` and ``listed`` as for its models."""
    idle = [m for m in listed or () if m.state not in {"", READY, UNTOLD} and m.reason != UNLOADED]
    if not idle:
        reason, remedy = said, f"wait for it, or {LOG}"
    else:
        reason = ", ".join(f"model {m.name}: {_said(m)}" for m in idle[:_MOST])
        waiting = any(m.state == LOADING for m in idle)
        remedy = "wait for it" if waiting else FAILED
    return f"{target.url}: the server is not ready: {reason}; {remedy}"


def why_model_not_ready(
    target: Target, said: str, refused: str, listed: Sequence[Indexed] | None
) -> str:
    """Return one line about the model of ``target``.

    ``said``: the answer to whether it is ready; ``refused``: that to what it is, empty = it was
    told; ``listed``: the models of the server, None = it does not tell.
    """
    return f"{target.url}: {_found(target, said, refused, listed)}"


def _found(target: Target, said: str, refused: str, listed: Sequence[Indexed] | None) -> str:
    model, version = unquote(target.model), unquote(target.version)
    ours = [each for each in listed or () if each.name == model]
    if listed is not None and not ours:
        return f"the server has no model {model}; it has {_names({m.name for m in listed})}"
    versions = {each.version for each in ours} - {""}
    if version and versions and version not in versions:
        return f"the server has no version {version} of model {model}; it has {_names(versions)}"
    return _state(model, said, refused, [m for m in ours if version in {"", m.version}])


def _state(model: str, said: str, refused: str, ours: Sequence[Indexed]) -> str:
    idle = [each for each in ours if each.state not in {READY, LOADING, UNTOLD}]
    if any(each.state == LOADING for each in ours):
        return f"model {model} is not ready: the server loads it just now; wait for it"
    if idle:
        states = ", ".join(map(_said, idle))
        return f"model {model} does not run there: {states}; 'fastbench model load' it, or {LOG}"
    if refused:
        return f"the server does not know model {model}: {refused}; check its name and version"
    return f"model {model} is not ready: {said}; wait for it, or {LOG}"


def _said(model: Indexed) -> str:
    """Return the state of a version; one that was never loaded has none."""
    version = f"version {model.version} is" if model.version else "it is"
    words = f"{version} {model.state or 'not loaded'}"
    reason = hidden(" ".join(model.reason.split()))[:_LONGEST]
    return f"{words} ({reason})" if reason else words


def _names(names: Collection[str]) -> str:
    shown = sorted(names)
    more = len(shown) - _MOST
    said = hidden(", ".join(shown[:_MOST])) or "none"
    return f"{said} and {more} more" if more > 0 else said
