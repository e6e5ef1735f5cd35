"""What happened in a run, as plain frozen data with one versioned JSON schema.

Interpretation (verdicts, warnings' advice) and presentation (console, HTML, CSV, .hlog) are made
from this data alone, also later from ``result.json``. Units are in the names: ``_s`` seconds,
``_ms`` milliseconds, ``_ns`` nanoseconds, ``_bytes`` bytes, ``_per_s`` per second.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fastbench import versioned

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

#: What people call them: ``p999`` is ``p99.9``.
QUANTILE_LABELS = {
    name: "p" + f"{100 * q:.3f}".rstrip("0").rstrip(".") for name, q in QUANTILES.items()
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
    busy: float  # (user_s + system_s - spin_s) / elapsed_s
    voluntary_switches: int
    involuntary_switches: int
    major_faults: int
    #: Time in which it was ready to run and had no CPU (schedstat); None = the kernel did not tell.
    run_delay_s: float | None = None
    spin_s: float = 0.0  # of user_s and system_s: idle polling, which is not busy
    stalls: int = 0  # turns of its event loop that took longer than 1 ms
    stalled_s: float = 0.0  # how long those turns took together
    longest_turn_ms: float = 0.0  # the longest turn of its event loop
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


class InterfaceUsage(_Data, frozen=True, kw_only=True):
    """One network interface over one repetition: means, and maxima between two samples."""

    name: str
    speed_mbit_per_s: int | None  # of the link; None = it has none or does not tell
    sent_bytes_per_s: float
    received_bytes_per_s: float
    sent_bytes_per_s_max: float
    received_bytes_per_s_max: float
    drops: int = 0  # packets dropped and errors, both directions


class HostUsage(_Data, frozen=True, kw_only=True):
    """The whole machine over one repetition; percentages of all CPUs together (100 = all busy)."""

    cpu_percent_mean: float
    cpu_percent_max: float
    steal_percent_mean: float
    available_min_bytes: int
    swap_in_bytes: int = 0
    swap_out_bytes: int = 0
    cpu_mhz_min: float | None = None  # lowest clock frequency seen on any CPU
    cpu_mhz_mean: float | None = None
    thermal_throttles: int | None = None  # times a core was slowed down for heat
    quota_throttled_s: float | None = None  # the control group was stopped for its CPU quota
    tcp_segments_sent: int | None = None
    tcp_retransmits: int | None = None  # segments sent again, all connections of the machine
    interfaces: list[InterfaceUsage] = []


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
    received_bytes_per_inference: float | None = None  # during measure; None without a reply
    connection_breaks: int = 0  # connections lost, and tries to open them again that failed
    reconnects: int = 0  # connections that stood again after they had broken
    late_replies: int = 0  # replies that came after their inference had timed out
    #: How long sampled replies lay in the kernel until they were read: TCP only, by the kernel's
    #: software receive stamps; None = not available.
    reply_lag_ms: Latency | None = None
    blocked_s: float = 0.0  # output waited for room in a socket buffer; summed over connections
    window_full_s: float = 0.0  # open loop: something due had no free slot; summed over threads


class Verification(_Data, frozen=True, kw_only=True):
    """Replies compared with an in-process onnxruntime run of the same inputs."""

    requested: int | None
    checked: int
    mismatches: int
    max_abs_difference: float | None
    tolerance: float
    mismatched_rows: list[int] = []
    unchecked: int = 0


class GpuUsage(_Data, frozen=True, kw_only=True):
    """One GPU of this machine over one repetition: means and maxima over samples."""

    index: int
    name: str
    utilisation_percent_mean: float | None
    utilisation_percent_max: float | None
    memory_used_max_bytes: int | None
    power_watts_mean: float | None
    power_watts_max: float | None


class ServerSample(_Data, frozen=True, kw_only=True):
    """What the server said about itself; ``at_s``: seconds since the monitor was started.

    Counters are deltas since the sample before, gauges are as they were.
    """

    at_s: float
    values: dict[str, float] = {}


class ServerMetrics(_Data, frozen=True, kw_only=True):
    """The server's own figures over one repetition, asked read-only at most once per second.

    ``deltas``: how much each counter rose. ``unavailable``: why there are none, or some lack.
    """

    deltas: dict[str, float] = {}
    samples: list[ServerSample] = []
    unavailable: str = ""


class ServerUsage(_Data, frozen=True, kw_only=True):
    """One of several servers over one repetition; fields as in :class:`Repetition`."""

    url: str  # of the first endpoint or stream that led there, without password
    process: ProcessUsage | None = None  # where it runs on this machine
    metrics: ServerMetrics | None = None


class StreamResult(_Data, frozen=True, kw_only=True):
    """One of several streams of a repetition; fields as in :class:`Repetition`."""

    name: str
    counts: Counts
    inferences_per_s: float
    samples_per_s: float
    response_ms: Latency
    service_ms: Latency
    timeseries: list[Interval]
    send_lag_ms: Latency | None = None
    offered_per_s: float | None = None
    target_per_s: float | None = None
    verification: Verification | None = None


class NodeCounts(_Data, frozen=True, kw_only=True):
    """What one node of a cluster did, of the inferences intended during measure.

    ``sent = ok + errors + timeouts + lost + unfinished + moved + asked`` always holds: an
    inference that was passed on was sent to each node on its way, and ended at the last.
    """

    address: str  # host:port, as the cluster calls it
    sent: int
    ok: int
    errors: int
    timeouts: int
    lost: int
    unfinished: int
    moved: int  # answered MOVED and passed on to the node named
    asked: int  # answered ASK and passed on, for once


class StepResult(_Data, frozen=True, kw_only=True):
    """One step of a chain, of the measured inferences that succeeded.

    ``service_ms``: from its first byte sent to its reply received. ``share``: its part of the
    service time of the whole inference; what all steps leave of it passes between them.
    """

    name: str
    target: str
    service_ms: Latency
    share: float | None  # None without a success
    stream: str = ""  # whose step it is, where there are several streams


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
    #: The server's process, where it runs on this machine, and its own figures; None of several.
    server: ProcessUsage | None = None
    server_metrics: ServerMetrics | None = None
    #: Each server, where inferences go to several.
    servers: list[ServerUsage] = []
    verification: Verification | None = None
    #: Each stream, where there are several; the fields above are then all of them together.
    streams: list[StreamResult] = []
    #: Each node, where the target is a cluster.
    nodes: list[NodeCounts] = []
    #: Each step, in order, where an inference is a chain of several.
    steps: list[StepResult] = []
    gpus: list[GpuUsage] = []
    error: str = ""  # why it ended early, where it did


class Spread(_Data, frozen=True, kw_only=True):
    """Smallest and largest value over the repetitions; ``..._beyond``: it is a lower bound.

    Something that is only known to exceed a value may be anything above it: among lower bounds the
    largest value is one too, and so is the smallest where a bound is the lowest of all.
    ``low`` to ``high``: encloses the median with 95 % confidence, whatever the distribution; None
    below 6 repetitions. ``high`` is None too where there is no upper limit, among lower bounds.
    """

    min: float | None
    max: float | None
    low: float | None = None
    high: float | None = None
    min_beyond: bool = False
    max_beyond: bool = False


class LatencySummary(_Data, frozen=True, kw_only=True):
    """Each field: the median over repetitions of that repetition's value, in milliseconds.

    What a lower bound stands for may lie anywhere above it: a median that this leaves open is the
    highest value that it is known to exceed, and named in ``beyond``. A quantile with too few
    samples in any repetition is named in ``few_samples``. ``spread`` has min and max by field.
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


class StreamSummary(_Data, frozen=True, kw_only=True):
    """One of several streams over all repetitions; fields as in :class:`Summary`."""

    name: str
    inferences_per_s: float
    inferences_per_s_spread: Spread
    samples_per_s: float
    response_ms: LatencySummary
    service_ms: LatencySummary
    counts: Counts


class Summary(_Data, frozen=True, kw_only=True):
    """Medians over repetitions with minimum and maximum beside them.

    Of the complete repetitions; of all where none is complete. ``counts``: the totals of all.
    """

    repetitions: int  # that the medians are of
    inferences_per_s: float
    inferences_per_s_spread: Spread
    samples_per_s: float
    cpu_us_per_inference: float | None
    response_ms: LatencySummary
    service_ms: LatencySummary
    counts: Counts
    streams: list[StreamSummary] = []  # where there are several


class Calibration(_Data, frozen=True, kw_only=True):
    """The plan without its schedule against the null server: what the client itself can do.

    ``ceiling_per_s`` = threads / CPU seconds per inference. ``raw_per_s``: what was reached; a
    lower bound where a thread of the null server was busier than 80 % (``raw_is_bound``).
    """

    ceiling_per_s: float
    cpu_us_per_inference: float
    raw_per_s: float
    raw_is_bound: bool
    server_busy: float  # of the busiest thread of the null server, 0 to 1
    server: str  # where it ran: a URL, or "in process"
    measured_s: float
    cached: bool = False
    at: str = ""  # ISO 8601, UTC


class Evidence(_Data, frozen=True, kw_only=True):
    """One thing that speaks for or against the client; the worst ``status`` makes the verdict.

    ``status``: ``ok``, ``note`` (worth knowing, no doubt), ``suspect``, ``client-limited`` or
    ``not available``. ``figure`` and
    ``threshold`` are for reading, ``value`` and ``limit`` the same as numbers where there is one.
    """

    name: str
    status: str
    figure: str
    threshold: str
    value: float | None = None
    limit: float | None = None
    advice: str = ""


class Verdict(_Data, frozen=True, kw_only=True):
    """Whether the client was the bottleneck: ``client-ok``, ``suspect`` or ``client-limited``."""

    verdict: str
    evidence: list[Evidence]


class Warning(_Data, frozen=True, kw_only=True):
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
    random_weights: bool | None = None  # None = not known
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


class StreamInfo(_Data, frozen=True, kw_only=True):
    """What one of several streams went to, and what it sent."""

    name: str
    target: TargetInfo
    dataset: DatasetInfo | None = None


class Placement(_Data, frozen=True, kw_only=True):
    """Where client and server ran; CPUs by number. Empty = not pinned, not known or not here."""

    client_cpus: list[int] = []  # of each thread in turn
    server_cpus: list[int] = []  # that a server on this machine may use
    shared_cpus: list[int] = []  # in both
    #: SMT siblings among them that share a physical core with a thread of the client.
    shared_cores: list[list[int]] = []
    interface: str = ""  # that leads to a server on another machine
    #: Interrupts of that interface, by number, with the CPUs of the client that serve them.
    interrupts: dict[str, list[int]] = {}


class NetworkShare(_Data, frozen=True, kw_only=True):
    """How much of the service time the network path explains, by a baseline beside the result.

    ``share``: ``round_trip_p50_ms`` of a TCP_RR with requests of an inference's size, divided by
    ``service_p50_ms``, the run's median; None where it is not available: ``reason`` says why.
    """

    server: str  # that the baseline was measured with
    at: str  # when, ISO 8601, UTC
    share: float | None = None
    round_trip_p50_ms: float | None = None
    service_p50_ms: float | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    reason: str = ""


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
    calibration: Calibration | None = None
    verdict: Verdict | None = None
    streams: list[StreamInfo] = []  # where there are several; ``target`` is the first one's
    placement: Placement | None = None
    error: str = ""  # why it is not complete, where it is not
    calibration_error: str = ""  # why there is no calibration, where it failed
    #: In what is printed of a folder that holds a network baseline too; never in its result.json.
    network_share: NetworkShare | None = None


def to_json(result: Result) -> bytes:
    """Return ``result`` as indented JSON, the content of ``result.json``."""
    return versioned.to_json(result)


def from_json(data: bytes) -> Result:
    """Return the result that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a result, or of a newer schema.
    """
    return versioned.from_json(data, Result, SCHEMA_VERSION, "result")
