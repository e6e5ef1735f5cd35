"""A result with two streams, failures and lower bounds: everything that a format has to show."""

from __future__ import annotations

from typing import Any

import msgspec
from support.sample_result import repetition, result

from fastbench.results import (
    Repetition,
    Result,
    StreamResult,
    StreamSummary,
    Summary,
    Verdict,
)


def stream_of(name: str, source: Repetition, **changed: Any) -> StreamResult:
    """Return a stream that measured what ``source`` did, but for what is ``changed``."""
    fields = [f for f in StreamResult.__struct_fields__ if f != "name"]
    return StreamResult(name=name, **{f: getattr(source, f) for f in fields} | changed)


def summary_of(name: str, source: Summary) -> StreamSummary:
    """Return the summary of a stream that measured what ``source`` says."""
    fields = [f for f in StreamSummary.__struct_fields__ if f != "name"]
    return StreamSummary(name=name, **{f: getattr(source, f) for f in fields})


def with_streams(verdict: Verdict | None = None) -> Result:
    """Return a partial run of two repetitions, the second with failures, and two streams."""
    names = ("get", 'se|t "x"')
    made = [repetition(1), repetition(2, timeouts=50, errors=12)]
    repetitions = [
        msgspec.structs.replace(r, streams=[stream_of(name, r) for name in names]) for r in made
    ]
    whole = result(*repetitions, status="partial")
    assert whole.summary is not None
    streams = [summary_of(name, whole.summary) for name in names]
    summary = msgspec.structs.replace(whole.summary, streams=streams)
    return msgspec.structs.replace(whole, summary=summary, verdict=verdict, error="it broke")
