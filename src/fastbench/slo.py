"""Limits that a result must keep, and changes that must not happen, as people write them.

An *objective*, ``p99<50ms``, is about one result; a *change*, ``p99>+5%``, is about a result
against another. Both are ``METRIC OPERATOR VALUE``; ``docs/comparing.md`` has the grammar.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.errors import UsageError
from fastbench.results import QUANTILE_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastbench.results import Repetition, StreamResult, StreamSummary, Summary

    Record = Repetition | Summary | StreamResult | StreamSummary

LATENCIES = {**{text: name for name, text in QUANTILE_LABELS.items()}, "max": "max", "mean": "mean"}
RATES = ("rate", "throughput")

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_FORM = re.compile(
    r"\s*(?P<metric>[a-z][a-z0-9.]*)\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<value>[+-]?\d+(\.\d+)?)\s*(?P<unit>us|ms|s|%|/s)?\s*",
    re.ASCII,
)
_ERRORS = "errors"
_MAX_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Metric:
    """What is looked at: ``name`` is ``errors``, ``rate`` or a field of ``Latency``.

    ``clock``: ``response`` or ``service`` for latencies, else empty.
    """

    name: str
    clock: str = ""

    def read(self, record: Record) -> Reading:
        """Return what ``record`` says about the metric: ms, a share (errors) or per second."""
        if self.name == _ERRORS:
            intended = record.counts.intended
            return Reading(1 - record.counts.ok / intended if intended else None)
        if self.name == "rate":
            return Reading(record.inferences_per_s)
        latency = record.response_ms if self.clock == "response" else record.service_ms
        counts = record.counts
        unanswered = counts.intended - counts.ok - counts.errors
        return Reading(
            getattr(latency, self.name),
            self.name in latency.beyond or (self.name == "mean" and unanswered > 0),
            self.name in latency.few_samples,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value; None = there is none. ``beyond``: it is only a lower bound.

    ``few``: a quantile with fewer than 10 samples above it.
    """

    value: float | None
    beyond: bool = False
    few: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """``text``: as written. ``limit``: milliseconds, a share of 1 (errors), or per second."""

    text: str
    metric: Metric
    operator: str
    limit: float

    def holds(self, record: Record) -> bool:
        """Tell whether ``record`` keeps it; what is not known does not.

        A lower bound ("> T") never satisfies ``<``, and satisfies ``>`` from its limit on.
        """
        reading = self.metric.read(record)
        if reading.value is None:
            return False
        if reading.beyond:
            return self.operator[0] == ">" and reading.value >= self.limit
        return OPERATORS[self.operator](reading.value, self.limit)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that must not happen. ``limit``: with its sign, as a fraction.

    Of the base's value for latencies and rate; for errors a difference between two shares, so
    ``errors>+0.1%`` is a rise by 0.1 percentage points.
    """

    text: str
    metric: Metric
    limit: float

    def exceeded_by(self, change: float) -> bool:
        """Tell whether ``change`` (fraction, with its sign) lies beyond the limit."""
        return change > self.limit if self.limit >= 0 else change < self.limit


def parse_objective(text: str) -> Objective:
    """Return what ``text`` asks for, e.g. ``p99<50ms``, ``errors<0.1%``, ``rate>=1000/s``.

    Raises :class:`UsageError` naming the text, what is wrong with it and how to write it.
    """
    found = _match(text, "write METRIC, <, <=, > or >=, and a value with its unit: p99<50ms")
    metric = _metric(text, found["metric"])
    value, unit = float(found["value"]), found["unit"] or ""
    if found["value"][0] in "+-":
        raise _wrong(text, "a signed value is a change, which only a comparison can show")
    return Objective(text.strip(), metric, found["operator"], _scale(text, metric, unit) * value)


def parse_objectives(texts: Iterable[str]) -> tuple[Objective, ...]:
    """Return all objectives; each text may hold several, with commas between.

    Raises :class:`UsageError` as :func:`parse_objective`, and where two are the same.
    """
    objectives = tuple(parse_objective(part) for text in texts for part in text.split(","))
    seen = [(o.metric, o.operator[0]) for o in objectives]
    twice = [o.text for i, o in enumerate(objectives) if seen[i] in seen[:i]]
    if twice:
        raise _wrong(twice[0], "there is another limit for the same: leave one out")
    return objectives


def parse_change(text: str) -> Change:
    """Return the change that ``text`` forbids, e.g. ``p99>+5%``, ``rate<-3%``, ``errors>+0.1%``.

    Raises :class:`UsageError` naming the text, what is wrong with it and how to write it.
    """
    found = _match(text, "write METRIC, > or <, and a signed percentage: p99>+5%, rate<-3%")
    metric = _metric(text, found["metric"])
    sign = found["value"][0]
    if sign not in "+-" or found["unit"] != "%":
        raise _wrong(text, "write the change with its sign and %: p99>+5%, rate<-3%")
    if found["operator"] != {"+": ">", "-": "<"}[sign]:
        raise _wrong(text, "a rise is written >+, a fall <-: p99>+5%, rate<-3%")
    if sign == "-" and float(found["value"]) <= -_MAX_PERCENT:
        raise _wrong(text, "nothing falls by 100 % or more")
    # -0% is a fall of any size: the smallest negative number stands for it.
    limit = float(found["value"]) / 100 or (0.0 if sign == "+" else -5e-324)
    return Change(text.strip(), metric, limit)


def _match(text: str, how: str) -> re.Match[str]:
    found = _FORM.fullmatch(text)
    if found is None:
        raise _wrong(text, how)
    return found


def _metric(text: str, written: str) -> Metric:
    clock, dot, rest = written.partition(".")
    prefixed = bool(dot) and clock in {"response", "service"}
    name = rest if prefixed else written
    if name in LATENCIES:
        return Metric(LATENCIES[name], clock if prefixed else "response")
    if prefixed or name not in {_ERRORS, *RATES}:
        known = ", ".join(LATENCIES)
        msg = f"{written!r} is none of {known} (also as service.p99), errors, rate"
        raise _wrong(text, msg)
    return Metric("rate" if name in RATES else name)


def _scale(text: str, metric: Metric, unit: str) -> float:
    """Return what a value in ``unit`` is multiplied by."""
    if metric.clock:
        if unit not in _MS:
            raise _wrong(text, "write a latency with us, ms or s: p99<50ms")
        return _MS[unit]
    due, example = ("%", "errors<0.1%") if metric.name == _ERRORS else ("/s", "rate>1000/s")
    if unit != due:
        raise _wrong(text, f"write {metric.name} with {due}: {example}")
    return 0.01 if metric.name == _ERRORS else 1.0


def _wrong(text: str, how: str) -> UsageError:
    return UsageError(f"{text.strip()!r}: {how}")
