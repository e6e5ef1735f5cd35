"""What a search for the highest sustainable rate found: the content of ``search.json``.

Units as in :mod:`fastbench.results`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fastbench import versioned
from fastbench.sweeps import About, Figures

SEARCH_SCHEMA_VERSION = 1


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One objective at one rate; values are in ms, a share of 1 (errors), or per second.

    ``value``: the median over the repetitions, ``low`` to ``high`` their spread.
    """

    objective: str
    holds: bool
    value: float | None
    low: float | None
    high: float | None
    beyond: bool = False  # the value is a lower bound
    low_beyond: bool = False
    high_beyond: bool = False
    few_samples: bool = False  # fewer than 10 samples above the quantile


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a search.

    ``name``: of its result folder. ``rate_per_s``: what was asked for; None = the closed loop at
    the beginning. ``outcome``: ``held``, ``failed``, ``client-limited`` (it failed, and the client
    was the limit) or ``reference`` (the closed loop). ``reasons``: why it did not hold.
    """

    name: str
    rate_per_s: float | None
    repetitions: int
    outcome: str
    reasons: list[str]
    limits: list[Limit]
    figures: Figures | None


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """One search: everything that ``search.json`` holds.

    ``status``: ``running``, ``complete`` or ``interrupted``. ``finding``: ``found``,
    ``none-holds``, ``client-limited`` (the server may do more than ``highest_held_per_s``),
    ``no-limit`` (every rate up to the greatest possible held) or ``undecided`` (it gave up);
    empty while it runs.
    The answer is ``highest_held_per_s``, and the truth lies below ``lowest_failed_per_s``.
    ``about``: of the last probe; ``platform``: the client's machine, as in a result.
    """

    schema_version: int
    fastbench_version: str
    status: str
    started_at: str  # ISO 8601, UTC
    ended_at: str  # of the last probe so far
    config: dict[str, Any]
    objectives: list[str]
    resolution: float  # a fraction of the rate
    probes: list[Probe]
    finding: str = ""
    highest_held_per_s: float | None = None
    lowest_failed_per_s: float | None = None
    #: Rates that held although a lower one had failed.
    held_above_failed_per_s: list[float] = []
    notes: list[str] = []
    about: About | None = None
    platform: dict[str, Any] = {}


def to_json(search: SearchResult) -> bytes:
    """Return ``search`` as indented JSON, the content of ``search.json``."""
    return versioned.to_json(search)


def from_json(data: bytes) -> SearchResult:
    """Return the search that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a search, or of a newer schema.
    """
    return versioned.from_json(data, SearchResult, SEARCH_SCHEMA_VERSION, "search")
