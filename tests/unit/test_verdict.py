"""The verdict: each piece of evidence speaks by its threshold and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.sample_result import client, repetition, result

from fastbench.results import (
    QUANTILES,
    Calibration,
    Evidence,
    InterfaceUsage,
    Latency,
    NodeCounts,
    Repetition,
    Result,
    StepResult,
    StreamInfo,
    TargetInfo,
    Verdict,
)
from fastbench.verdict import blocked, judge

if TYPE_CHECKING:
    from pathlib import Path

changed = msgspec.structs.replace
KNOWN_HOST = {
    "thermal_throttles": 0,
    "quota_throttled_s": 0.0,
    "tcp_segments_sent": 100_000,
    "tcp_retransmits": 0,
    "interfaces": [],
}


def steady() -> Repetition:
    """Return a closed loop of 4 slots whose rate and response times agree."""
    r = repetition(1)
    assert r.response_ms.mean is not None
    return changed(r, inferences_per_s=4e3 / r.response_ms.mean)


NEEDED_PER_S = steady().inferences_per_s


def fair(**fields: Any) -> Result:
    """Return a run whose client has nothing to hide: it can do far more than was needed."""
    run = result(steady())
    return changed(run, **{"calibration": calibration(10_000.0), **fields})


def calibration(ceiling_per_s: float) -> Calibration:
    """Return a calibration with that ceiling."""
    return Calibration(
        ceiling_per_s=ceiling_per_s,
        cpu_us_per_inference=1e6 / ceiling_per_s,
        raw_per_s=ceiling_per_s / 2,
        raw_is_bound=True,
        server_busy=0.9,
        server="in process",
        measured_s=0.5,
    )


def with_client(**fields: Any) -> Result:
    """Return the fair run with its client's books changed."""
    run = fair()
    r = run.repetitions[0]
    return changed(run, repetitions=[changed(r, client=changed(r.client, **fields))])


def with_thread(**fields: Any) -> Result:
    """Return the fair run with its only thread changed."""
    return with_client(threads=[changed(client().threads[0], **fields)])


def with_host(**fields: Any) -> Result:
    """Return the fair run on another host."""
    host = client().host
    assert host is not None
    return with_client(host=changed(host, **{**KNOWN_HOST, **fields}))


def with_repetition(**fields: Any) -> Result:
    """Return the fair run with its repetition changed."""
    run = fair()
    return changed(run, repetitions=[changed(run.repetitions[0], **fields)])


def late(p99_ms: float, **client_fields: Any) -> Result:
    """Return an open loop with that send lag; the median service time is about 3 ms."""
    run = with_client(**client_fields)
    lag = Latency(count=4000, p50=0.01, p99=p99_ms)
    r = changed(run.repetitions[0], send_lag_ms=lag, target_per_s=NEEDED_PER_S)
    return changed(run, repetitions=[r])


def link(megabytes_per_s: float) -> InterfaceUsage:
    """Return an interface of 1 Gbit/s that carried so much at most."""
    return InterfaceUsage(
        name="eth0",
        speed_mbit_per_s=1000,
        sent_bytes_per_s=1e6,
        received_bytes_per_s=1e6,
        sent_bytes_per_s_max=megabytes_per_s * 1e6,
        received_bytes_per_s_max=1e6,
    )


def found(run: Result, name: str) -> Evidence:
    """Return the evidence of that name; fails where there is not exactly one."""
    (evidence,) = [e for e in judge(run).evidence if e.name == name]
    return evidence


def test_a_fair_run_is_client_ok() -> None:
    """Nothing speaks against the client; what is not known is named, not passed over."""
    verdict = judge(fair())

    assert verdict.verdict == "client-ok"
    assert {e.status for e in verdict.evidence} == {"ok", "not available"}
    assert {e.name for e in verdict.evidence if e.status == "not available"} == {
        "reply lag",
        "heat",
        "CPU quota",
        "network",
    }


@pytest.mark.parametrize(
    ("run", "name", "status"),
    [
        (with_thread(busy=0.79), "threads", "ok"),
        (with_thread(busy=0.80), "threads", "client-limited"),
        (with_thread(busy=0.30, run_delay_s=1.9), "threads", "ok"),
        (with_thread(busy=0.30, run_delay_s=2.1), "threads", "client-limited"),
        (with_thread(elapsed_s=0.0), "threads", "not available"),
        (fair(calibration=calibration(2.01 * NEEDED_PER_S)), "headroom", "ok"),
        (fair(calibration=calibration(1.99 * NEEDED_PER_S)), "headroom", "note"),
        (fair(calibration=calibration(1.24 * NEEDED_PER_S)), "headroom", "suspect"),
        (changed(fair(), calibration=None), "headroom", "not available"),
        (late(0.2), "send lag", "ok"),
        (late(0.5), "send lag", "suspect"),
        (late(5.0), "send lag", "client-limited"),
        (late(5.0, window_full_s=1.0), "send lag", "note"),
        (with_client(reply_lag_ms=Latency(count=9, p99=0.2)), "reply lag", "ok"),
        (with_client(reply_lag_ms=Latency(count=9, p99=0.9)), "reply lag", "suspect"),
        (with_client(reply_lag_ms=None), "reply lag", "not available"),
        (with_thread(stalls=3, stalled_s=0.03), "event-loop stalls", "ok"),
        (with_thread(stalls=9, stalled_s=0.05), "event-loop stalls", "suspect"),
        (with_client(blocked_s=1.0), "blocked output", "ok"),
        (with_client(blocked_s=3.9), "blocked output", "note"),
        (with_repetition(offered_per_s=1.005 * NEEDED_PER_S), "offered rate", "ok"),
        (with_repetition(offered_per_s=1.02 * NEEDED_PER_S), "offered rate", "note"),
        (with_thread(major_faults=1), "page faults", "suspect"),
        (with_host(steal_percent_mean=1.9), "stolen time", "ok"),
        (with_host(steal_percent_mean=2.1), "stolen time", "suspect"),
        (with_host(swap_out_bytes=4096), "swapping", "suspect"),
        (with_host(thermal_throttles=1), "heat", "suspect"),
        (with_host(quota_throttled_s=0.1), "CPU quota", "suspect"),
        (with_host(interfaces=[link(99.0)]), "network", "ok"),
        (with_host(interfaces=[link(101.0)]), "network", "suspect"),
        (with_host(tcp_retransmits=99), "TCP retransmits", "ok"),
        (with_host(tcp_retransmits=101), "TCP retransmits", "suspect"),
    ],
)
def test_each_threshold(run: Result, name: str, status: str) -> None:
    """Just below its threshold evidence is harmless, just above it is not; advice comes with it."""
    evidence = found(run, name)

    assert evidence.status == status
    assert evidence.threshold
    if status in {"note", "suspect", "client-limited"}:
        assert evidence.advice
        assert judge(run).verdict == ("client-ok" if status == "note" else status)


def test_the_worst_repetition_counts() -> None:
    """One repetition that was limited by its client spoils the run."""
    run = result(*[repetition(n) for n in (1, 2, 3)])
    bad = with_thread(busy=0.95).repetitions[0]

    verdict = judge(changed(run, repetitions=[*run.repetitions[:2], bad]))

    assert verdict.verdict == "client-limited"
    assert verdict.evidence[0].name == "threads"


@pytest.mark.parametrize(("factor", "status"), [(0.96, "ok"), (1.06, "suspect"), (0.9, "suspect")])
def test_littles_law(factor: float, status: str) -> None:
    """In a closed loop rate x response time must be what is in flight."""
    run = with_repetition(inferences_per_s=factor * NEEDED_PER_S)

    assert found(run, "Little's law").status == status


def test_littles_law_in_an_open_loop() -> None:
    """Less in flight than there are slots is what it is for; more cannot be."""
    mean = steady().service_ms.mean
    assert mean is not None
    for share, status in ((0.3, "ok"), (1.2, "suspect")):
        rate = share * 4e3 / mean
        run = with_repetition(inferences_per_s=rate, target_per_s=rate, offered_per_s=rate)
        assert found(run, "Little's law").status == status


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("none", ", which rows do not leave: shared memory"),
        ("y (8 bytes an inference)", ", which rows and outputs do not leave: shared memory"),
        (None, ", which rows do not leave: shared memory"),
    ],
)
def test_what_lies_in_shared_memory(outputs: str | None, said: str) -> None:
    """Rows, and outputs where the server put them there, of any stream too."""
    details = {} if outputs is None else {"shared_memory_outputs": outputs}
    placed = TargetInfo(url="triton+http://127.0.0.1:1/m", kind="triton", details=details)
    config = {**fair().config, "shm": True}
    alone = fair(target=placed, config=config)
    streams = [StreamInfo(name="a", target=fair().target), StreamInfo(name="b", target=placed)]
    several = fair(streams=streams, config={**config, "streams": [{}, {"shm": True}]})

    assert found(alone, "placement").figure.endswith(said)
    assert found(several, "placement").figure.endswith(said)


def test_every_stream_has_a_target() -> None:
    """A server on this machine is noted, and a link is watched, whichever stream it belongs to."""
    fields = {"dataset": None}
    local = StreamInfo(name="a", target=TargetInfo(url="redis://127.0.0.1:1", kind="redis"))
    remote = StreamInfo(name="b", target=TargetInfo(url="redis://192.0.2.7:1", kind="redis"))
    for streams in ([local, remote], [remote, local]):
        run = fair(streams=streams, target=streams[0].target, **fields)
        assert found(run, "placement").status == "note"
        assert found(run, "network")


@pytest.mark.parametrize(
    ("url", "notes", "networks"),
    [
        ("redis://127.0.0.1:1,127.0.0.2:2", 1, 0),
        ("redis://127.0.0.1:1,h2:2", 1, 1),
        ("redis://h2:2,localhost:1", 1, 1),
        ("redis://h1,h2", 0, 1),
        ("redis+unix:///a,/b", 1, 0),
    ],
)
def test_every_endpoint_of_a_target_counts(url: str, notes: int, networks: int) -> None:
    """A target of several servers is local only where all are, and shares a machine with any."""
    run = fair(target=TargetInfo(url=url, kind="redis"))

    names = [evidence.name for evidence in judge(run).evidence]
    assert (names.count("placement"), names.count("network")) == (notes, networks)


def test_steps_and_nodes_are_servers_too() -> None:
    """What a chain fetches from, and where a cluster's keys are, may be on another machine."""
    local = TargetInfo(url="redis://127.0.0.1:1", kind="redis")
    steps = [
        StepResult(name=url, target=url, service_ms=Latency(count=1), share=0.5)
        for url in ("redis://192.0.2.9:1", local.url)
    ]
    none = dict.fromkeys(("sent", "ok", "errors", "timeouts", "lost", "unfinished", "moved"), 0)
    nodes = [NodeCounts(address=f"{h}:7000", asked=0, **none) for h in ("::1", "192.0.2.9")]
    for fields in ({"steps": steps}, {"nodes": nodes}):
        run = changed(with_repetition(**fields), target=local)
        assert found(run, "network")
        assert found(run, "placement").status == "note"
    for fields in ({"steps": steps[1:]}, {"nodes": nodes[:1]}):
        run = changed(with_repetition(**fields), target=local)
        assert [e for e in judge(run).evidence if e.name == "network"] == []


def test_blocked_is_shared_by_all_connections() -> None:
    """Each step of a chain has connections of its own, and each stream has."""
    steps = [
        StepResult(name="s", target="redis://h", service_ms=Latency(count=1), share=0.5, stream=s)
        for s in ("a", "a", "a", "b", "b")
    ]
    r = fair().repetitions[0]
    books = changed(r.client, blocked_s=0.5 * r.measured_s)
    alone = changed(r, client=books)
    chain = changed(alone, steps=[changed(step, stream="") for step in steps[:4]])
    streams = [{"name": n, "connections": c} for n, c in (("a", 2), ("b", 1), ("c", None))]

    assert blocked(fair(), alone) == pytest.approx(0.5)
    assert blocked(fair(), chain) == pytest.approx(0.5 / 4)
    config = {**fair().config, "threads": 3, "connections": 99, "streams": streams}
    both = changed(alone, steps=steps)
    assert blocked(changed(fair(), config=config), both) == pytest.approx(0.5 / (6 + 2 + 3))


def test_why_there_is_no_ceiling() -> None:
    """Where measuring the ceiling failed, the evidence says how."""
    broken = changed(fair(), calibration=None, calibration_error="redis://h:1: refused")

    evidence = found(broken, "headroom")
    assert (evidence.status, evidence.advice) == ("not available", "")
    assert evidence.figure.endswith(": redis://h:1: refused")


def test_a_ceiling_below_what_was_reached_is_called_disturbed() -> None:
    """The client did more than it can do: then its ceiling was measured badly."""
    evidence = found(fair(calibration=calibration(0.6 * NEEDED_PER_S)), "headroom")

    assert evidence.status == "suspect"
    assert "--calibrate always" in evidence.advice


def test_nothing_known_is_not_client_ok() -> None:
    """Without a measured thread the client cannot be cleared."""
    assert judge(changed(fair(), repetitions=[])).verdict == "suspect"


def test_same_machine_is_said() -> None:
    """A local target is noted; threads that share CPUs are suspect."""
    local = changed(fair(), target=TargetInfo(url="redis://127.0.0.1:6379", kind="redis"))
    crowded = changed(fair(), config={**fair().config, "threads": 2, "connections": 2})

    assert found(local, "placement").status == "note"
    assert judge(local).verdict == "client-ok"
    assert found(crowded, "placement").status == "suspect"


def test_thresholds_are_documented(root: Path) -> None:
    """docs/verdict.md names every piece of evidence."""
    text = (root / "docs" / "verdict.md").read_text(encoding="utf-8")
    runs = [fair(), late(5.0), with_host(), with_repetition(offered_per_s=1.0)]

    names = {e.name for run in runs for e in judge(run).evidence} | {"Little's law", "placement"}

    assert [name for name in sorted(names) if f"**{name}**" not in text] == []


def test_it_survives_json() -> None:
    """What is written is what is read again, to the last digit."""
    for run in (fair(), late(5.0), with_host(), with_thread(major_faults=3)):
        verdict = judge(run)
        decoded = msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict)
        assert msgspec.json.encode(decoded) == msgspec.json.encode(verdict)


def short(**lag: Any) -> Latency:
    """Return a lag of few samples: 14, as a short run has of replies, unless said otherwise."""
    few = ["p50", "p75", "p90", "p95", "p99", "p999", "p9999", "p99999"]
    return Latency(
        **{"count": 14, "few_samples": few, "min": 0.01, "p25": 0.02, "p99": 3.78, **lag}
    )


@pytest.mark.parametrize(
    ("lag", "status", "value", "says"),
    [
        (short(), "note", 0.02, "p25 20 us (p99 3.78 ms, but too few samples"),
        (short(p99=0.2), "ok", 0.02, "p25 20 us"),
        (short(p25=0.9), "suspect", 0.9, "p25 900 us"),
        (short(count=5, few_samples=list(QUANTILES)), "note", 0.01, "the least 10 us"),
        (short(count=5, few_samples=list(QUANTILES), min=0.9), "suspect", 0.9, "the least 900"),
        (short(count=500, few_samples=["p99"], p95=0.03), "note", 0.03, "p95 30 us (p99 3.78"),
    ],
)
def test_few_replies_make_no_suspect_and_hide_none(
    lag: Latency, status: str, value: float, says: str
) -> None:
    """What too few samples say alone is noted; what all but few of them say still counts."""
    run = with_client(reply_lag_ms=lag)
    (found,) = (e for e in judge(run).evidence if e.name == "reply lag")

    assert (found.status, found.value) == (status, value)
    assert says in found.figure
    assert ("measure longer" in found.advice) == (status == "note")
    assert judge(run).verdict == ("suspect" if status == "suspect" else "client-ok")


@pytest.mark.parametrize(
    ("lag", "status"),
    [
        (short(p99=5.0), "note"),
        (short(p25=0.5, p99=5.0), "suspect"),
        (short(p25=5.0, p99=9.0), "client-limited"),
    ],
)
def test_few_sends(lag: Latency, status: str) -> None:
    """A run of 14 inferences is judged by what is certain of them, in both directions."""
    run = late(0.0)
    repetitions = [changed(r, send_lag_ms=lag) for r in run.repetitions]
    (found,) = (
        e for e in judge(changed(run, repetitions=repetitions)).evidence if e.name == "send lag"
    )

    assert found.status == status


def test_a_late_repetition_counts_beside_one_of_few_samples() -> None:
    """A doubtful p99, however high, does not stand before one that is certain."""
    run = with_client(reply_lag_ms=short(p99=50.0))
    certain = with_client(reply_lag_ms=Latency(count=9000, p99=0.9)).repetitions
    both = changed(run, repetitions=[*run.repetitions, *certain])

    (found,) = (e for e in judge(both).evidence if e.name == "reply lag")
    assert (found.status, found.value) == ("suspect", 0.9)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"config": {"calibrate": "never"}}, "--calibrate never"),
        ({"status": "interrupted"}, "the run is interrupted"),
        ({"status": "partial"}, "the run is partial"),
        ({"calibration_error": "gone"}, "gone"),
        ({"repetitions": []}, "there was no reply"),
    ],
)
def test_reason_of_no_headroom(fields: dict[str, Any], why: str) -> None:
    """It is the one that applies, whatever was asked for."""
    run = fair(calibration=None, **fields)
    (found,) = (e for e in judge(run).evidence if e.name == "headroom")

    assert found.status == "not available"
    assert why in found.figure
    assert "TLS" not in found.figure + found.advice
