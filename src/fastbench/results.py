"""What happened in a run, as plain frozen data with one versioned JSON schema.

Interpretation (verdicts, warnings' advice) and presentation (console, HTML, CSV, .hlog) are made
from this data alone, also later from ``result.json``. Units are in the names: ``_s`` seconds,
``_ms`` milliseconds, ``_ns`` nanoseconds, ``_bytes`` bytes, ``_per_s`` per second.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fastbench.errors import UsageError

SCHEMA_VERSION = 1

#: The quantile fields of :class:`Latency`, in order, with the fraction each stands for.
QUANTILES: dict[str, float] = {
    "p25": 0.25,
    "p50": 0.50,
    "p75": 0.75,
    "p90": 0.90,
    "p95": 0.95,
    "p99": 0.99,
    "p999": 0.999,
    "p9999": 0.9999,
    "p99999": 0.99999,
}


class _Data(msgspec.Struct, frozen=True):
    """Base of every record: immutable; unknown fields of newer files are ignored."""


class ErrorClass(_Data, frozen=True, kw_only=True):
    """Errors of one class: how many, and the first text seen (at most 160 bytes)."""

    count: int
    first_text: str = ""


class Counts(_Data, frozen=True, kw_only=True):
    """Inferences intended during measure, by outcome.

    ``intended = sent + never_sent`` and
    ``sent = ok + errors + timeouts + lost + unfinished`` always hold.
    """

    intended: int
    sent: int
    ok: int
    errors: int = 0
    timeouts: int = 0
    lost: int = 0  # sent on a connection that broke before the reply was whole
    unfinished: int = 0  # still in flight when the drain ended
    never_sent: int = 0  # due, but no connection could take them before the drain ended
    errors_by_class: dict[str, ErrorClass] = {}


class Latency(_Data, frozen=True, kw_only=True):
    """One latency distribution in milliseconds; quantiles are None where nothing was recorded.

    Right-censored inferences (timed out, lost, never sent, unfinished) rank above every success:
    a quantile (or ``max``) whose rank falls among them is a lower bound and named in ``beyond``.
    A quantile with fewer than 10 samples above it is named in ``few_samples``.
    ``min``, ``mean`` and ``stddev`` are those of the successes.
    ``clipped`` counts successes above the histogram's highest trackable value (1 h).
    """

    count: int  # recorded successes
    censored: int = 0
    clipped: int = 0
    min: float | None = None
    mean: float | None = None
    stddev: float | None = None
    max: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    p9999: float | None = None
    p99999: float | None = None
    beyond: list[str] = []
    few_samples: list[str] = []
    #: HdrHistogram V2 compressed, base64, values in nanoseconds.
    histogram: str = ""


class Interval(_Data, frozen=True, kw_only=True):
    """One interval of the time series; instants are seconds since measure began.

    Outcomes and latencies: of measured inferences that ended in it. ``completed``: successes of
    any inference received in it during measure, from which the rate is computed; None for the
    rate after the end of measure. A quantile is None where nothing was recorded, or where it
    falls among inferences that had no reply.
    """

    start_s: float
    end_s: float
    completed: int = 0
    ok: int
    errors: int
    timeouts: int
    lost: int
    inferences_per_s: float | None
    response_p50_ms: float | None = None
    response_p95_ms: float | None = None
    response_p99_ms: float | None = None
    response_max_ms: float | None = None
    service_p50_ms: float | None = None
    service_p99_ms: float | None = None
    #: HdrHistogram V2 compressed, base64: response times of this interval in nanoseconds.
    histogram: str = ""


class ThreadUsage(_Data, frozen=True, kw_only=True):
    """One native worker thread during measure, as the kernel accounts it."""

    name: str
    cpu: int | None  # the CPU it was pinned to; None = not pinned
    user_s: float
    system_s: float
    elapsed_s: float
    busy: float  # (user_s + system_s) / elapsed_s
    voluntary_switches: int
    involuntary_switches: int
    major_faults: int
    #: CPU use over the whole repetition, sampled at 5 Hz from Python; 100 = one core.
    cpu_percent_samples: list[float] = []


class ProcessSample(_Data, frozen=True, kw_only=True):
    """One sample of a process or the host, taken at 5 Hz from Python."""

    at_s: float  # seconds since the monitor was started
    cpu_percent: float  # 100 = one core
    rss_bytes: int = 0
    threads: int = 0


class ProcessUsage(_Data, frozen=True, kw_only=True):
    """A process over one repetition: means and maxima over the samples, and the samples."""

    pid: int
    cpu_percent_mean: float
    cpu_percent_max: float
    rss_max_bytes: int
    threads_max: int
    samples: list[ProcessSample] = []


class HostUsage(_Data, frozen=True, kw_only=True):
    """The whole machine over one repetition; percentages of all CPUs together (100 = all busy)."""

    cpu_percent_mean: float
    cpu_percent_max: float
    steal_percent_mean: float
    available_min_bytes: int
    swap_in_bytes: int = 0


class ClientUsage(_Data, frozen=True, kw_only=True):
    """What the client itself cost: worker threads during measure, the rest over all phases."""

    cpu_us_per_inference: float | None  # worker threads, user + system; None without a success
    user_us_per_inference: float | None
    system_us_per_inference: float | None
    threads: list[ThreadUsage]
    process: ProcessUsage | None = None
    host: HostUsage | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    connection_breaks: int = 0  # connections lost, and tries to open them again that failed
    reconnects: int = 0  # connections that stood again after they had broken
    late_replies: int = 0  # replies that came after their inference had timed out


class Verification(_Data, frozen=True, kw_only=True):
    """Sampled replies compared with an in-process onnxruntime run of the same inputs."""

    requested: int
    checked: int
    mismatches: int
    max_abs_difference: float | None
    tolerance: float
    mismatched_rows: list[int] = []


class Repetition(_Data, frozen=True, kw_only=True):
    """One full pass through connect, warm-up, measure and drain."""

    index: int  # from 1
    started_at: str  # ISO 8601, UTC
    measured_s: float  # length of the measure phase
    status: str  # complete | partial | interrupted
    counts: Counts
    inferences_per_s: float
    samples_per_s: float
    response_ms: Latency
    service_ms: Latency
    timeseries: list[Interval]
    client: ClientUsage
    #: Open loop: sent minus intended, of the inferences that were sent; None in a closed loop.
    send_lag_ms: Latency | None = None
    #: Open loop: inferences due per second of measure, and what was asked for.
    offered_per_s: float | None = None
    target_per_s: float | None = None
    server: ProcessUsage | None = None
    verification: Verification | None = None
    error: str = ""  # why it ended early, where it did


class Spread(_Data, frozen=True, kw_only=True):
    """Smallest and largest value over the repetitions."""

    min: float | None
    max: float | None


class LatencySummary(_Data, frozen=True, kw_only=True):
    """Each field: the median over repetitions of that repetition's value, in milliseconds.

    Lower bounds rank above values; a median that is one is named in ``beyond``. A quantile with
    too few samples in any repetition is named in ``few_samples``. ``spread`` has min and max by
    field.
    """

    min: float | None = None
    mean: float | None = None
    stddev: float | None = None
    max: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    p9999: float | None = None
    p99999: float | None = None
    beyond: list[str] = []
    few_samples: list[str] = []
    spread: dict[str, Spread] = {}


class Summary(_Data, frozen=True, kw_only=True):
    """Medians over repetitions with minimum and maximum beside them; counts are totals."""

    repetitions: int
    inferences_per_s: float
    inferences_per_s_spread: Spread
    samples_per_s: float
    cpu_us_per_inference: float | None
    response_ms: LatencySummary
    service_ms: LatencySummary
    counts: Counts


class Warning(_Data, frozen=True, kw_only=True):  # noqa: A001 - the field's word
    """A doubt about the result: a stable code, what was seen, and what to do about it."""

    code: str
    message: str
    advice: str = ""


class TargetInfo(_Data, frozen=True, kw_only=True):
    """What was benchmarked, as far as it told us."""

    url: str  # without password
    kind: str  # e.g. redisai
    server: str = ""  # name and version
    protocol: str = ""
    model: str = ""
    backend: str = ""
    device: str = ""
    model_sha256: str = ""
    random_weights: bool = False
    check_max_abs_difference: float | None = None  # first answer against in-process onnxruntime
    details: dict[str, str] = {}


class DatasetInfo(_Data, frozen=True, kw_only=True):
    """The data that was sent."""

    path: str
    rows: int
    shape: list[int]  # of one row
    dtype: str
    synthetic: bool
    sha256: str = ""
    description: str = ""
    bytes: int = 0
    resident_bytes: int = 0  # in the page cache when the run began


class Result(_Data, frozen=True, kw_only=True):
    """One run: everything that ``result.json`` holds."""

    schema_version: int
    fastbench_version: str
    status: str  # complete | partial | interrupted
    started_at: str  # ISO 8601, UTC
    ended_at: str
    config: dict[str, Any]
    platform: dict[str, Any]
    target: TargetInfo
    dataset: DatasetInfo | None
    repetitions: list[Repetition]
    summary: Summary | None  # None when no repetition has a success
    warnings: list[Warning] = []
    error: str = ""  # why it is not complete, where it is not


class _Version(msgspec.Struct):
    schema_version: int


def to_json(result: Result) -> bytes:
    """Return ``result`` as indented JSON, the content of ``result.json``."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def from_json(data: bytes) -> Result:
    """Return the result that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a result, or of a newer schema.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            msg = (
                f"written by a newer fastbench (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}): update fastbench"
            )
            raise UsageError(msg)
        return msgspec.json.decode(data, type=Result)
    except msgspec.MsgspecError as error:
        msg = f"not a whole fastbench result: {error}"
        raise UsageError(msg) from error
