"""The engine's latencies, held against what the server itself did, on the same clock.

A latency seen by the client cannot be shorter than the server's delay within it: that side is
strict. The other side is generous, since test machines share their cores.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.driver import MS, Ran, S, drive, highest_in
from support.fakeserver import FakeServer, Reply, Request, in_turn
from support.streams import PING, stream_of

from fastbench._nullserver import NullServer
from fastbench.plan import Message, Plan, Text

if TYPE_CHECKING:
    from pathlib import Path

    from support.fakeserver import Seen

US = 1000


def recorded_ns(ran: Ran, kind: str = "service") -> np.ndarray:
    """Return all recorded latencies in ascending order, each as its counter's highest value."""
    counts = ran.histogram(kind)
    values = [highest_in(i) for i in np.nonzero(counts)[0]]
    return np.repeat(values, counts[counts > 0])


def true_ns(requests: list[Seen]) -> np.ndarray:
    """Return the server's own delays in ascending order, ns."""
    return np.sort([s.answered_ns - s.arrived_ns for s in requests])


@pytest.mark.parametrize(
    "delays_ms",
    [[5.0], [5.0] * 9 + [20.0], [1.0, 2.0, 4.0, 8.0, 16.0]],
    ids=["fixed", "nine-to-one", "powers"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_known_delays_are_found_again(delays_ms: list[float], threads: int) -> None:
    """Rank by rank, no recorded latency is below the server's, and in the middle not far above."""
    assert any(finds_again(delays_ms, threads) for _ in range(TRIES))


def finds_again(delays_ms: list[float], threads: int) -> bool:
    """Return whether quantiles were near the server's; assert what no busy machine excuses."""
    replies = [Reply(after_s=ms / 1e3) for ms in delays_ms]
    with FakeServer(in_turn(replies)) as server:
        load = stream_of(server.address, 4)
        ran = drive(Plan(streams=(load,), threads=threads, requests=400))

    recorded, true = recorded_ns(ran), true_ns(server.requests)
    assert len(recorded) == len(true) == 400
    assert (recorded >= true).all()
    assert true[0] >= min(delays_ms) * MS
    # 400 latencies: the sum is what the mean is made of, and histograms must not bend it.
    assert ran.sum_ns("service") >= true.sum()
    assert abs(ran.sum_ns("service") - recorded.sum()) <= 0.001 * recorded.sum() + 400 * 64
    return all(
        ran.quantile_ns("service", q) <= 1.05 * true[int(q * 399)] + 25 * MS for q in (0.5, 0.9)
    )


def test_response_time_begins_when_the_slot_came_free() -> None:
    """In a closed loop response time holds all of service time, and little more."""
    with FakeServer(in_turn([Reply(after_s=0.003)])) as server:
        load = stream_of(server.address, 3, 2)
        ran = drive(Plan(streams=(load,), threads=1, requests=300))

    response, service = recorded_ns(ran, "response"), recorded_ns(ran)
    assert (response >= service).all()
    assert ran.sum_ns("response") >= ran.sum_ns("service")
    assert np.median(response) <= np.median(service) + 20 * MS


def test_each_reply_of_a_batch_has_its_own_latency() -> None:
    """Replies that leave one after another differ by just that, though requests left together."""
    gap_ns, depth, batches = 3 * MS, 8, 40
    with FakeServer(in_turn([Reply(after_s=gap_ns / S)])) as server:
        # The first window leaves in one write; each later request when a reply made room.
        load = stream_of(server.address, batches, depth)
        ran = drive(Plan(streams=(load,), threads=1, requests=batches * depth))

    recorded, true = recorded_ns(ran), true_ns(server.requests)
    assert len(recorded) == batches * depth
    assert (recorded >= true).all()
    # The k-th reply of a connection waits for k gaps: one latency per batch would be all alike.
    floor = np.sort(np.tile(np.arange(1, depth + 1) * gap_ns, batches))
    assert (recorded >= floor).all()
    first = recorded[: batches // 2]
    assert np.median(first) < recorded[-1] - (depth - 2) * gap_ns
    spread = true[-1] - true[0]
    assert recorded[-1] - recorded[0] >= 0.9 * min(spread, (depth - 1) * gap_ns)


def test_latencies_match_request_by_request() -> None:
    """With one in flight, latencies follow the server's delays one by one, in order of time."""
    delays_ms = [1.0, 12.0, 3.0, 25.0, 6.0]
    with FakeServer(in_turn([Reply(after_s=ms / 1e3) for ms in delays_ms])) as server:
        ran = drive(
            Plan(streams=(stream_of(server.address),), threads=1, requests=60, interval_ns=10 * MS)
        )

    seen = server.requests
    t = ran.totals
    # All that the engine did between two replies belongs to one inference: the sums must agree.
    last_answer = seen[-1].answered_ns
    assert t.end_ns >= last_answer
    assert ran.sum_ns("response") <= t.end_ns - t.begin_ns
    assert ran.sum_ns("response") >= sum(s.answered_ns - s.arrived_ns for s in seen)
    # Instants on one clock: no request arrives before the one before it was answered.
    assert all(a.answered_ns <= b.arrived_ns for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize(("connections", "pipeline", "threads"), [(1, 1, 1), (8, 1, 2), (4, 16, 1)])
def test_littles_law(connections: int, pipeline: int, threads: int, tmp_path: Path) -> None:
    """In a closed loop, throughput x mean response = inferences in flight."""
    with NullServer(unix_path=str(tmp_path / "s"), threads=1) as _:
        load = stream_of(str(tmp_path / "s"), connections, pipeline)
        plan = Plan(streams=(load,), threads=threads, warmup_ns=100 * MS, duration_ns=1500 * MS)
        assert any(obeys_littles_law(drive(plan), connections * pipeline) for _ in range(TRIES))


#: A machine that stands still for 100 ms at the edge of measure spoils one run, not all.
TRIES = 5


def obeys_littles_law(ran: Ran, slots: int) -> bool:
    """Return whether as many inferences were in flight as there are slots, within 2 %.

    Each slot may besides hold an inference across begin and another across end.
    """
    measured_ns = ran.totals.end_ns - ran.totals.begin_ns
    edge = slots * max(i.response.max_ns for i in ran.intervals) / measured_ns
    return abs(ran.sum_ns("response") / measured_ns - slots) <= 0.02 * slots + edge


def test_littles_law_with_a_slow_server() -> None:
    """The same against a server with a delay: nothing hides between two inferences."""
    with FakeServer(in_turn([Reply(after_s=0.004), Reply(after_s=0.001)])) as server:
        load = stream_of(server.address, 4, 2)
        plan = Plan(streams=(load,), threads=2, warmup_ns=100 * MS, duration_ns=1500 * MS)
        assert any(obeys_littles_law(drive(plan), 8) for _ in range(TRIES))


def test_an_outage_is_in_the_response_times() -> None:
    """Inferences that wait for a connection to come back wait from when their slot was free."""
    pings = itertools.count(1)
    hellos = itertools.count()
    hello = Message((Text(b"*1\r\n$5\r\nHELLO\r\n"),), replies=1)

    def script(request: Request) -> Reply:
        if request.words[0] == b"HELLO":
            return Reply(after_s=0.3 if next(hellos) else 0.0)
        return Reply(b"", then="reset") if next(pings) == 50 else Reply()

    with FakeServer(script) as server:
        load = stream_of(server.address, 1, 1, opening=(hello,))
        ran = drive(Plan(streams=(load,), threads=1, requests=100))

    assert ran.totals.lost == 1
    assert ran.totals.ok == 99
    # One inference waited for the pause and the slow opening; its service time did not.
    assert max(i.response.max_ns for i in ran.intervals) >= 300 * MS
    assert (recorded_ns(ran, "response") >= 300 * MS).sum() >= 1
    difference = ran.sum_ns("response") - ran.sum_ns("service")
    assert difference >= 300 * MS


def test_an_inference_of_several_replies_ends_with_the_last() -> None:
    """Three pipelined commands are one inference: its latency is that of the last reply."""
    three = Message(PING.parts * 3, replies=3)
    with FakeServer(in_turn([Reply(after_s=ms / 1e3) for ms in (1.0, 2.0, 7.0)])) as server:
        load = stream_of(server.address, 1, 1, three)
        ran = drive(Plan(streams=(load,), threads=1, requests=30))

    seen = server.requests
    whole = [seen[i + 2].answered_ns - seen[i].arrived_ns for i in range(0, 90, 3)]
    assert ran.totals.ok == 30
    assert (recorded_ns(ran) >= np.sort(whole)).all()
    assert ran.quantile_ns("service", 0.5) >= 10 * MS


def test_a_reply_in_pieces_ends_with_its_last_byte() -> None:
    """A reply that comes in five pieces is received when the last one is."""
    reply = Reply(b"$40\r\n" + b"x" * 40 + b"\r\n", pieces=5)
    with FakeServer(in_turn([reply])) as server:
        ran = drive(Plan(streams=(stream_of(server.address, 2),), threads=1, requests=60))

    assert ran.totals.ok == 60
    assert (recorded_ns(ran) >= true_ns(server.requests)).all()
    assert recorded_ns(ran)[0] >= 4 * 500 * US
