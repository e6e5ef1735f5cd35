"""The result of a run that was killed, from its journal: whole repetitions and the broken one.

Of the broken one only what had ended is known: what was in flight or waited is in no count, and
what the client cost is not known. The latencies are exact, also the quantiles.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from fastbench import versioned
from fastbench.errors import UsageError
from fastbench.journal import Begin, Head, Moment, Whole
from fastbench.measured import COUNTED
from fastbench.results import SCHEMA_VERSION, ClientUsage, Counts, Repetition, Result, StreamResult
from fastbench.series import HistogramSum, cut, make_interval
from fastbench.summary import summarize
from fastbench.warnings import assess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fastbench.results import Interval

KILLED = (
    "killed, or unable to write its result: this is its journal, up to the last interval that was "
    "over; what was in flight or waited then is not counted"
)
RUNNING = "it still runs: this is its journal, up to the last interval that is over"

_Line = Head | Begin | Moment | Whole


def salvage(data: bytes, *, running: bool = False) -> Result:
    """Return what the journal ``data`` holds, with status ``killed``, or ``running``.

    A line that was cut off ends it. Raises :class:`UsageError` where not even its head is whole,
    or of another schema.
    """
    versioned.check(data.split(b"\n", 1)[0], SCHEMA_VERSION, "journal")
    lines = list(_lines(data))
    if not lines or not isinstance(lines[0], Head):
        msg = "not a fastbench journal: its first line is not the head of a run"
        raise UsageError(msg)
    head, status = lines[0], "running" if running else "killed"
    repetitions = list(_repetitions(lines, status))
    result = Result(
        schema_version=head.schema_version,
        fastbench_version=head.fastbench_version,
        status=status,
        started_at=head.started_at,
        ended_at=_ended_at(lines) or head.started_at,
        config=head.config,
        platform=head.platform,
        target=head.target,
        dataset=head.dataset,
        streams=head.streams,
        repetitions=repetitions,
        summary=summarize(repetitions),
        error=RUNNING if running else KILLED,
    )
    return msgspec.structs.replace(result, warnings=assess(result))


def _lines(data: bytes) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    for line in data.split(b"\n")[:-1]:  # what follows the last line feed was cut off
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError:
            return


def _ended_at(lines: Sequence[_Line]) -> str | None:
    """Return the instant of the last interval."""
    at_s = max((line.at_s for line in lines if isinstance(line, Moment)), default=None)
    if at_s is None:
        return None
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds")


def _repetitions(lines: Iterable[_Line], status: str) -> Iterator[Repetition]:
    begin: Begin | None = None
    moments: list[Moment] = []
    for line in lines:
        if isinstance(line, Moment):
            moments.append(line)
            continue
        if isinstance(line, Whole):
            yield line.repetition
        elif begin is not None and moments:  # another one begins: it ended, but did not fit whole
            yield _broken(begin, moments, "killed")
        begin, moments = (line if isinstance(line, Begin) else None), []
    if begin is not None and moments:
        yield _broken(begin, moments, status)


def _broken(begin: Begin, moments: list[Moment], status: str) -> Repetition:
    names = list(dict.fromkeys(moment.stream for moment in moments))
    each = {name: [m for m in moments if m.stream == name] for name in names}
    streams = [
        StreamResult(
            name=name, target_per_s=begin.targets.get(name), **_measured(begin, each[name])
        )
        for name in names
    ]
    return Repetition(
        index=begin.index,
        started_at=begin.started_at,
        measured_s=_measured_s(begin, moments),
        status=status,
        client=ClientUsage(
            cpu_us_per_inference=None,
            user_us_per_inference=None,
            system_us_per_inference=None,
            threads=[],
        ),
        target_per_s=begin.target_per_s,
        streams=streams if len(names) > 1 else [],
        error=RUNNING if status == "running" else KILLED,
        **_measured(begin, moments),
    )


def _measured_s(begin: Begin, moments: Iterable[Moment]) -> float:
    end_s = max(moment.end_s for moment in moments)
    return end_s if begin.duration_s is None else min(end_s, begin.duration_s)


def _measured(begin: Begin, moments: list[Moment]) -> dict[str, Any]:
    """Return the fields that a repetition and a stream have in common."""
    measured_s = _measured_s(begin, moments)
    response, service, lag = (_added(moments, n) for n in ("response", "service", "lag"))
    counted = _counted(moments)
    rate = counted.pop("completed") / measured_s
    samples = sum(m.completed * begin.batches.get(m.stream, begin.batch) for m in moments)
    ended = sum(counted.values())
    in_flight = counted["timeouts"] + counted["lost"]
    return {
        "counts": Counts(intended=ended, sent=ended, **counted),
        "inferences_per_s": rate,
        "samples_per_s": samples / measured_s,
        "response_ms": response.latency(censored=in_flight),
        "service_ms": service.latency(censored=in_flight),
        "send_lag_ms": lag.latency() if lag.total else None,
        "timeseries": [cut(i, measured_s) for i in _series(moments)],
    }


def _series(moments: list[Moment]) -> Iterator[Interval]:
    """Return the intervals, those of several streams added up."""
    starts = sorted({moment.start_s for moment in moments})
    by_start: dict[float, list[Moment]] = {start_s: [] for start_s in starts}
    for moment in moments:
        by_start[moment.start_s].append(moment)
    for start_s, same in by_start.items():
        end_s = max(moment.end_s for moment in same)
        spectra = _added(same, "response"), _added(same, "service")
        yield make_interval(start_s, end_s, _counted(same), *spectra)


def _counted(moments: Iterable[Moment]) -> dict[str, Any]:
    """Return the sums of what an interval counts; integers, by field."""
    sums = dict.fromkeys(COUNTED, 0)
    for moment in moments:
        for name in COUNTED:
            sums[name] += getattr(moment, name)
    return sums


def _added(moments: Iterable[Moment], name: str) -> HistogramSum:
    total = HistogramSum()
    for moment in moments:
        total.add(getattr(moment, name).sums())
    return total
