"""What TensorFlow Serving says of a model, by HTTP or gRPC, checked before the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

AVAILABLE = "AVAILABLE"
SIGNATURE = "serving_default"  # what a request that names none goes to
NOT_TOLD = "not told: not checked"


@dataclass(frozen=True, slots=True)
class Version:
    """The state of one version of a model; ``said``: more where it failed."""

    number: str
    state: str
    said: str = ""


def available(url: str, versions: Sequence[Version]) -> str:
    """Return the versions that can be asked. Raises :class:`ServerError` where there is none."""
    found = [v.number for v in versions if v.state == AVAILABLE]
    if found:
        return ", ".join(found)
    states = "; ".join(f"version {v.number} {v.state} {v.said}".rstrip() for v in versions)
    msg = f"{url}: no version of the model is {AVAILABLE}: {states or 'none is there'}"
    raise ServerError(msg)


def check_signature(url: str, wanted: str, known: Collection[str]) -> None:
    """Raise :class:`ServerError` where the model has other signatures than the one wanted.

    ``wanted``: empty = the usual one. ``known``: empty = the server does not tell.
    """
    name = wanted or SIGNATURE
    if known and name not in known:
        msg = (
            f"{url}: the model has no signature {name}, only {', '.join(known)}: choose one by "
            "?signature=NAME"
        )
        raise ServerError(msg)
