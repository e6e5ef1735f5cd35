"""Whether the client was the bottleneck: evidence from the result alone, each with its threshold.

A rule takes a result and yields evidence; adding one is a function and a line in ``RULES``. The
gravest status makes the verdict. The worst repetition counts: a median of repetitions of which
one was limited by the client is not the server's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fastbench import topology
from fastbench.littles_law import has_schedule, littles_law, slots_of
from fastbench.results import QUANTILE_LABELS, Evidence, Verdict
from fastbench.targets import is_local, is_loopback, single_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastbench.results import HostUsage, Latency, Placement, Repetition, Result, ThreadUsage

OK, NOTE, SUSPECT, LIMITED, ABSENT = "ok", "note", "suspect", "client-limited", "not available"
CLIENT_OK = "client-ok"

#: From harmless to grave; ``ABSENT`` speaks neither for nor against.
GRAVITY = (ABSENT, OK, NOTE, SUSPECT, LIMITED)

BUSY = 0.80  # of a thread's time: running, or ready to run without a CPU
HEADROOM_OK = 2.0
HEADROOM_SUSPECT = 1.25
LAG_SHARE = 0.10  # of the median service time
LAG_FLOOR_MS = 0.1  # below that a lag is what any kernel takes to wake a thread
STALLED = 0.01  # of a thread's time
#: What a lag is judged by: the first that has enough samples above it. What the rest of them
#: exceed is exceeded by p99, too, so a client that is late is found in a short run as well.
CERTAIN = ("p99", "p95", "p90", "p75", "p50", "p25", "min")
WINDOW_FULL = 0.01  # of a thread's time: then the p99 of the send lag is due to it
MEASURE_LONGER = "measure longer, so that its p99 has enough samples"
KEPT = 0.99  # of the offered rate
STEAL_PERCENT = 2.0
LINK_USE = 0.80
RETRANSMITTED = 0.001  # of the segments sent


def judge(result: Result) -> Verdict:
    """Return the verdict on ``result`` with its evidence, the gravest first."""
    found = [evidence for rule in RULES for evidence in rule(result)]
    found.sort(key=lambda e: -GRAVITY.index(e.status))
    worst = max((GRAVITY.index(e.status) for e in found), default=0)
    unknown = all(e.status == ABSENT for e in found if e.name == "threads")
    if unknown and worst < GRAVITY.index(SUSPECT):
        worst = GRAVITY.index(SUSPECT)  # nothing is known of the client itself
    verdict = GRAVITY[worst] if worst >= GRAVITY.index(SUSPECT) else CLIENT_OK
    return Verdict(verdict=verdict, evidence=found)


# ---- the client's threads


def _threads(result: Result) -> Iterator[Evidence]:
    threads = [t for r in result.repetitions for t in r.client.threads if t.elapsed_s > 0]
    limit = f"< {BUSY:.0%} busy or waiting"
    if not threads:
        yield Evidence(
            name="threads", status=ABSENT, figure="no thread lived long enough", threshold=limit
        )
        return
    worst = max(threads, key=_occupied)
    value = _occupied(worst)
    yield Evidence(
        name="threads",
        status=LIMITED if value >= BUSY else OK,
        figure=_occupation(worst),
        threshold=limit,
        value=value,
        limit=BUSY,
        advice="more --threads on CPUs of their own; if it waits for a CPU, lift the CPU quota or "
        "stop what shares its CPU; or use another machine for the client"
        if value >= BUSY
        else "",
    )


def _occupied(t: ThreadUsage) -> float:
    return min(1.0, t.busy + (t.run_delay_s or 0.0) / t.elapsed_s)


def _occupation(t: ThreadUsage) -> str:
    waiting = (
        "waiting for a CPU: not available"
        if t.run_delay_s is None
        else f"{t.run_delay_s / t.elapsed_s:.1%} waiting for a CPU"
    )
    switches = t.involuntary_switches / t.elapsed_s
    return (
        f"busiest thread {t.name}: {t.busy:.1%} busy, {waiting}, "
        f"{switches:,.0f} involuntary switches/s"
    )


def _headroom(result: Result) -> Iterator[Evidence]:
    calibration, rate = result.calibration, highest_rate(result.repetitions)
    limit = f">= {HEADROOM_OK:g} x; < {HEADROOM_SUSPECT:g} x is suspect"
    if calibration is None or not rate:
        yield Evidence(
            name="headroom",
            status=ABSENT,
            figure=f"the client's ceiling was not measured: {_why_no_ceiling(result, rate)}",
            threshold=limit,
        )
        return
    value = calibration.ceiling_per_s / rate
    status = OK if value >= HEADROOM_OK else NOTE if value >= HEADROOM_SUSPECT else SUSPECT
    raw = f"{'>=' if calibration.raw_is_bound else ''}{calibration.raw_per_s:,.0f}"
    yield Evidence(
        name="headroom",
        status=status,
        figure=f"{value:.1f} x: the client's CPU time alone would allow about "
        f"{_two_digits(calibration.ceiling_per_s)}/s ({raw}/s reached against the null server), "
        f"{rate:,.0f}/s were needed",
        threshold=limit,
        value=value,
        limit=HEADROOM_OK,
        advice="" if status == OK else _more_headroom(value),
    )


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.10g}"


def _why_no_ceiling(result: Result, rate: float) -> str:
    if result.calibration_error:
        return result.calibration_error
    if result.config.get("calibrate") == "never":
        return "--calibrate never"
    if not rate:
        return "there was no reply, so no rate was needed"
    if result.status != "complete":
        return f"the run is {result.status}"
    return "the null server does not speak what was sent here, or nothing came back from it"


def _more_headroom(value: float) -> str:
    if value < 1:
        return (
            "the run itself did more, so something disturbed the measuring of the ceiling: repeat "
            "with --calibrate always on a machine where nothing else runs"
        )
    return "more --threads, or a larger --pipeline"


def highest_rate(repetitions: Sequence[Repetition]) -> float:
    """Return the highest rate of replies of any outcome over the repetitions."""
    return max(
        (
            r.inferences_per_s * (r.counts.ok + r.counts.errors) / max(r.counts.ok, 1)
            for r in repetitions
        ),
        default=0.0,
    )


def _stalls(result: Result) -> Iterator[Evidence]:
    threads = [t for r in result.repetitions for t in r.client.threads if t.elapsed_s > 0]
    if not threads:
        return
    worst = max(threads, key=lambda t: t.stalled_s / t.elapsed_s)
    value = worst.stalled_s / worst.elapsed_s
    yield Evidence(
        name="event-loop stalls",
        status=SUSPECT if value > STALLED else OK,
        figure=f"{value:.2%} of the time of {worst.name} in {worst.stalls:,} turns over 1 ms, "
        f"the longest {max(t.longest_turn_ms for t in threads):.1f} ms",
        threshold=f"<= {STALLED:.0%}",
        value=value,
        limit=STALLED,
        advice="look for a cold dataset, a CPU quota or a neighbour on the client's CPUs"
        if value > STALLED
        else "",
    )


def _page_faults(result: Result) -> Iterator[Evidence]:
    faults = sum(t.major_faults for r in result.repetitions for t in r.client.threads)
    yield Evidence(
        name="page faults",
        status=SUSPECT if faults else OK,
        figure=f"{faults:,} read from disk during measure",
        threshold="0",
        value=float(faults),
        limit=0.0,
        advice="use fewer dataset rows, or a machine with more memory" if faults else "",
    )


# ---- what waited for the client


def _send_lag(result: Result) -> Iterator[Evidence]:
    r = _worst_lag(result, lambda r: r.send_lag_ms)
    if r is None or r.send_lag_ms is None or r.send_lag_ms.p99 is None:
        return
    lag, limit, full = r.send_lag_ms, _lag_limit(r), window_full(r)
    status = OK
    if (lag.p99 or 0.0) > limit:
        status = NOTE if full > WINDOW_FULL else _lateness(r, _certain(lag)[1])
    yield Evidence(
        name="send lag",
        status=status,
        figure=f"{_lag_figure(lag)} after the intended instant; no free slot {full:.1%} of the "
        "time",
        threshold=_lag_threshold(),
        value=_certain(lag)[1],
        limit=limit,
        advice=_lag_advice(status, full),
    )


def _lateness(r: Repetition, lag_ms: float) -> str:
    """Say how grave it is that sends were late although slots were free: the client did that."""
    if lag_ms <= _lag_limit(r):
        return NOTE  # only quantiles of too few samples are above it
    return LIMITED if lag_ms > max(r.service_ms.p50 or 0.0, 10 * LAG_FLOOR_MS) else SUSPECT


def _certain(lag: Latency) -> tuple[str, float]:
    """Return name and value of the highest quantile, at most p99, that has enough samples."""
    name = next(name for name in CERTAIN if name not in lag.few_samples)
    return name, getattr(lag, name) or 0.0


def _lag_figure(lag: Latency) -> str:
    """Return what a lag is judged by, and its p99 where that has too few samples."""
    name, value = _certain(lag)
    text = f"{QUANTILE_LABELS.get(name, 'the least')} {_ms(value)}"
    few = f" (p99 {_ms(lag.p99 or 0.0)}, but too few samples lie above it to judge by it)"
    return text if name == "p99" else text + few


def _lag_advice(status: str, full: float) -> str:
    if status == NOTE and full <= WINDOW_FULL:
        return MEASURE_LONGER
    if status == NOTE:
        return (
            "all slots were taken: response times hold the wait for one; raise --connections or "
            "--pipeline if the server should see more at once"
        )
    return "" if status == OK else "more --threads on CPUs of their own, or --spin"


def _reply_lag(result: Result) -> Iterator[Evidence]:
    r = _worst_lag(result, lambda r: r.client.reply_lag_ms)
    if r is None or r.client.reply_lag_ms is None or r.client.reply_lag_ms.p99 is None:
        yield Evidence(
            name="reply lag",
            status=ABSENT,
            figure="the kernel stamps only what comes by TCP without TLS",
            threshold=_lag_threshold(),
        )
        return
    lag, limit = r.client.reply_lag_ms, _lag_limit(r)
    late, status = _certain(lag)[1] > limit, OK
    if (lag.p99 or 0.0) > limit:
        status = SUSPECT if late else NOTE
    late_advice = "replies wait for the client: more --threads on CPUs of their own"
    yield Evidence(
        name="reply lag",
        status=status,
        figure=f"{_lag_figure(lag)} between the kernel's stamp and reading "
        f"({lag.count:,} replies sampled)",
        threshold=_lag_threshold(),
        value=_certain(lag)[1],
        limit=limit,
        advice={SUSPECT: late_advice, NOTE: MEASURE_LONGER}.get(status, ""),
    )


def _worst_lag(result: Result, lag: Callable[[Repetition], Latency | None]) -> Repetition | None:
    """Return the repetition whose lag is the worst against its limit, and certainly so if any."""

    def excess(r: Repetition) -> tuple[float, float]:
        found, limit = lag(r), _lag_limit(r)
        if found is None:
            return -1.0, -1.0
        certain = _certain(found)[1] / limit
        return (certain if certain > 1 else 0.0), (found.p99 or 0.0) / limit

    return max(result.repetitions, key=excess, default=None)


def _lag_limit(r: Repetition) -> float:
    return max(LAG_FLOOR_MS, LAG_SHARE * (r.service_ms.p50 or 0.0))


def _lag_threshold() -> str:
    return f"p99 <= {LAG_SHARE:.0%} of the median service time, or {LAG_FLOOR_MS * 1e3:g} us"


def window_full(r: Repetition) -> float:
    """Return the share of the threads' time in which something was due and found no free slot."""
    return r.client.window_full_s / max(sum(t.elapsed_s for t in r.client.threads), 1e-9)


def blocked(result: Result, r: Repetition) -> float:
    """Return the share of a connection's time in which its output waited for room."""
    time_s = _connections(result, r) * r.measured_s
    return r.client.blocked_s / time_s if time_s > 0 else 0.0


def _connections(result: Result, r: Repetition) -> int:
    """Return how many there were of all streams; each step of a chain has as many as its stream."""
    threads = int(result.config.get("threads", 1))
    steps = Counter(step.stream for step in r.steps)
    return sum(
        int(part.get("connections") or threads) * (steps[part.get("name", "")] or 1)
        for part in result.config.get("streams") or [result.config]
    )


def _blocked(result: Result) -> Iterator[Evidence]:
    shares = [blocked(result, r) for r in result.repetitions]
    if shares:
        yield Evidence(
            name="blocked output",
            status=NOTE if max(shares) > LINK_USE else OK,
            figure=f"{max(shares):.1%} of the time of a connection it waited for room",
            threshold=f"<= {LINK_USE:.0%}, else the network or the server takes no more",
            value=max(shares),
            limit=LINK_USE,
            advice="compare bytes/s with the network's: fastbench net"
            if max(shares) > LINK_USE
            else "",
        )


# ---- do the figures agree with each other


def _rate(result: Result) -> Iterator[Evidence]:
    shares = [r.inferences_per_s / r.offered_per_s for r in result.repetitions if r.offered_per_s]
    if shares:
        kept = min(shares) >= KEPT
        yield Evidence(
            name="offered rate",
            status=OK if kept else NOTE,
            figure=f"{min(shares):.1%} of what was due succeeded in time",
            threshold=f">= {KEPT:.0%}",
            value=min(shares),
            limit=KEPT,
            advice="" if kept else "the server did not keep up, unless other evidence says client",
        )


def _littles_law(result: Result) -> Iterator[Evidence]:
    """Check each repetition for itself; the one that is farthest off counts."""
    slots = slots_of(result)
    laws = [littles_law([r], slots) for r in result.repetitions]
    found = [
        (law.in_flight / slots, law.tolerance)
        for law in laws
        if law.in_flight and law.tolerance and law.status != ABSENT
    ]
    if not found:
        return
    is_open = has_schedule(result.repetitions)
    value, tolerance = max(found, key=lambda f: (f[0] - 1 if is_open else abs(f[0] - 1)) - f[1])
    holds = all(law.status != "off" for law in laws)
    yield Evidence(
        name="Little's law",
        status=OK if holds else SUSPECT,
        figure=f"rate x mean {'service' if is_open else 'response'} time is {value:.3f} of the "
        f"{slots:,} slots",
        threshold=f"<= 1 + {tolerance:.2g}" if is_open else f"1 +- {tolerance:.2g}",
        value=value,
        limit=1.0,
        advice="" if holds else "the load was not steady: use a longer --warmup and --duration",
    )


# ---- the machine


def _hosts(result: Result) -> list[HostUsage]:
    return [r.client.host for r in result.repetitions if r.client.host is not None]


def _host(result: Result) -> Iterator[Evidence]:
    hosts = _hosts(result)
    if not hosts:
        yield Evidence(
            name="host", status=ABSENT, figure="/proc cannot be read", threshold="no steal, no swap"
        )
        return
    steal = max(h.steal_percent_mean for h in hosts)
    swapped = sum(h.swap_in_bytes + h.swap_out_bytes for h in hosts)
    yield Evidence(
        name="stolen time",
        status=SUSPECT if steal > STEAL_PERCENT else OK,
        figure=f"{steal:.1f} % of CPU time taken by the hypervisor",
        threshold=f"<= {STEAL_PERCENT:g} %",
        value=steal,
        limit=STEAL_PERCENT,
        advice="use a machine of your own" if steal > STEAL_PERCENT else "",
    )
    yield _none_of("swapping", swapped, "bytes swapped", "free memory on this machine")


def _slowed(result: Result) -> Iterator[Evidence]:
    for name, field, unit, advice in (
        ("heat", "thermal_throttles", "times a core was slowed down", "improve the cooling"),
        ("CPU quota", "quota_throttled_s", "s stopped by the control group", "lift the CPU quota"),
    ):
        values = [getattr(h, field) for h in _hosts(result)]
        known = [v for v in values if v is not None]
        if known:
            yield _none_of(name, sum(known), unit, advice)
        else:
            yield Evidence(
                name=name, status=ABSENT, figure="not told by this kernel", threshold="0"
            )


def _none_of(name: str, value: float, unit: str, advice: str) -> Evidence:
    return Evidence(
        name=name,
        status=SUSPECT if value else OK,
        figure=f"{value:,.6g} {unit}",
        threshold="0",
        value=float(value),
        limit=0.0,
        advice=advice if value else "",
    )


def _are_local(result: Result) -> list[bool]:
    """Return of each server whether it is on this machine: targets, steps of chains and nodes."""
    targets = [stream.target for stream in result.streams] or [result.target]
    urls = {target.url for target in targets}
    urls |= {step.target for r in result.repetitions for step in r.steps}
    nodes = {node.address for r in result.repetitions for node in r.nodes}
    servers = [is_local(one) for url in urls for one in single_urls(url)]
    return servers + [is_loopback(address.rpartition(":")[0]) for address in nodes]


def _network(result: Result) -> Iterator[Evidence]:
    if all(_are_local(result)):
        return
    uses = [
        (max(i.sent_bytes_per_s_max, i.received_bytes_per_s_max) * 8e-6 / i.speed_mbit_per_s, i)
        for h in _hosts(result)
        for i in h.interfaces
        if i.speed_mbit_per_s
    ]
    limit = f"< {LINK_USE:.0%} of the link"
    if not uses:
        yield Evidence(
            name="network", status=ABSENT, figure="no link speed is known", threshold=limit
        )
    else:
        use, link = max(uses, key=lambda u: u[0])
        yield Evidence(
            name="network",
            status=SUSPECT if use >= LINK_USE else OK,
            figure=f"{use:.1%} of {link.name}'s {link.speed_mbit_per_s:,} Mbit/s at most",
            threshold=limit,
            value=use,
            limit=LINK_USE,
            advice="the link limits, not the server: use a faster one" if use >= LINK_USE else "",
        )
    yield from _retransmits(result)


def _retransmits(result: Result) -> Iterator[Evidence]:
    shares = [
        h.tcp_retransmits / max(h.tcp_segments_sent, 1)
        for h in _hosts(result)
        if h.tcp_retransmits is not None and h.tcp_segments_sent is not None
    ]
    if shares:
        bad = max(shares) > RETRANSMITTED
        yield Evidence(
            name="TCP retransmits",
            status=SUSPECT if bad else OK,
            figure=f"{max(shares):.3%} of the segments of this machine",
            threshold=f"<= {RETRANSMITTED:.1%}",
            value=max(shares),
            limit=RETRANSMITTED,
            advice="the network loses packets: look for congestion or a bad link" if bad else "",
        )


def _placement(result: Result) -> Iterator[Evidence]:
    threads, cpus = int(result.config.get("threads", 1)), _cpus(result)
    if threads > cpus:
        yield Evidence(
            name="placement",
            status=SUSPECT,
            figure=f"{threads} threads share {cpus:g} CPUs: they wait for each other",
            threshold="a CPU for each thread",
            value=cpus,
            limit=float(threads),
            advice=f"use --threads {max(1, int(cpus))} or fewer with more --connections, or more "
            "--cpus",
        )
    elif (
        any(_are_local(result))
        or any(_watched_here(r) for r in result.repetitions)
        or shares_memory(result.config)
    ):
        yield Evidence(
            name="placement",
            status=NOTE,
            figure=f"client and server run on one machine{_apart(result.placement)}"
            + _in_memory(result),
            threshold="machines of their own",
            advice="they share caches, memory and the kernel: fine to compare, not to publish",
        )


def shares_memory(config: Mapping[str, Any]) -> bool:
    """Tell whether rows of a run, or of one of its streams, lie in memory that the server reads."""
    return any(c.get("shm") for c in config.get("streams") or [config])


def _in_memory(result: Result) -> str:
    """Say what does not cross a connection."""
    if not shares_memory(result.config):
        return ""
    targets = [stream.target for stream in result.streams] or [result.target]
    placed = any(t.details.get("shared_memory_outputs", "none") != "none" for t in targets)
    return f", which rows{' and outputs' * placed} do not leave: shared memory"


def _watched_here(repetition: Repetition) -> bool:
    """Tell whether a server's process was found on this machine."""
    return bool(repetition.server or any(server.process for server in repetition.servers))


def _apart(placed: Placement | None) -> str:
    if placed is None or not (placed.client_cpus and placed.server_cpus):
        return ""
    shared = topology.format_list(placed.shared_cpus)
    return f"; the server may use the client's CPUs {shared}" if shared else ", on different CPUs"


def _cpus(result: Result) -> float:
    """Return how many CPUs the threads had: those they were pinned to, or may use."""
    threads = [t for r in result.repetitions for t in r.client.threads]
    pinned = {t.cpu for t in threads if t.cpu is not None}
    allowed = pinned or set(result.platform.get("cpus_allowed", []))
    count = float(len(allowed)) or float("inf")
    return min(count, float(result.platform.get("cpu_limit") or count))


RULES: tuple[Callable[[Result], Iterator[Evidence]], ...] = (
    _threads,
    _headroom,
    _send_lag,
    _reply_lag,
    _stalls,
    _blocked,
    _rate,
    _littles_law,
    _host,
    _slowed,
    _page_faults,
    _network,
    _placement,
)


def _ms(value: float) -> str:
    return f"{value * 1e3:.0f} us" if value < 1 else f"{value:.2f} ms"
