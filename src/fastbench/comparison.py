"""What a comparison found, as plain frozen data: the content of ``compare --format json``.

A ``change`` is a fraction of the base's value (other / base - 1), for errors the difference of two
shares; ``low`` to ``high`` is its 95 % interval, None where there is no such end or none is known.
"""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1

SLOWER, FASTER = "slower", "faster"
MORE, FEWER = "more", "fewer"
NO_DIFFERENCE = "no difference shown"
CANNOT_TELL = "cannot tell"

KEPT, FAILED, NOT_EXCLUDED = "kept", "failed", "not excluded"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the results: as named by the user, and how far it can be trusted."""

    name: str
    started_at: str
    fastbench_version: str
    status: str  # complete | partial | interrupted
    repetitions: int  # that were compared: complete ones, where there are any
    client: str = ""  # the verdict on the client, where there is one


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not the same in both runs. ``work``: then other work was measured."""

    what: str  # e.g. config.threads
    base: str
    other: str
    work: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both results: geometric means over repetitions, for errors plain means.

    ``stream``: the name of the one that it is about; empty = the whole run.
    ``unit``: ``/s``, ``ms`` or ``share``. ``..._beyond``: a lower bound in some repetition.
    ``few``: too few samples for the quantile in some repetition. ``verdict``: ``faster``,
    ``slower``, for errors ``more``, ``fewer``; ``no difference shown`` or ``cannot tell``, with
    ``reason``.
    """

    metric: str
    unit: str
    base: float | None
    other: float | None
    verdict: str
    stream: str = ""
    change: float | None = None
    low: float | None = None
    high: float | None = None
    base_beyond: bool = False
    other_beyond: bool = False
    few: bool = False
    reason: str = ""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was not to happen. ``status``: ``kept``, ``failed`` or ``not excluded``."""

    text: str
    status: str
    message: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One result against the base. ``notes``: what speaks against believing it."""

    side: Side
    differences: list[Difference]
    notes: list[str]
    changes: list[Change]
    limits: list[Limit] = []


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A base and one or more results that are held against it."""

    schema_version: int
    confidence: float
    base: Side
    candidates: list[Candidate]


def failed(comparison: Comparison) -> bool:
    """Tell whether any limit of any candidate failed."""
    return any(li.status == FAILED for one in comparison.candidates for li in one.limits)
