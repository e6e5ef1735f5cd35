"""What must never be made look better than it is: tails, and servers that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.driver import MS, Ran, drive
from support.fakeserver import SILENCE, FakeServer, Reply, Request
from support.streams import stream_of

from fastbench.config import CommandConfig, RunConfig
from fastbench.plan import Plan
from fastbench.runner import run

if TYPE_CHECKING:
    from support.fakeserver import Script, Seen

    from fastbench.results import Repetition

#: Of 2,000 requests: where p50, p99 and p99.9 lie each has its own delay.
DELAYS_MS = (50.0, 200.0, 400.0)
N = 2000
ATTEMPTS = 6


def stepped(request: Request) -> Reply:
    """Delay 98 % by 50 ms, 1.8 % by 200 ms and 0.2 % by 400 ms."""
    place = request.total % 500
    rank = 2 if place == 137 else 1 if place % 50 == 7 and place != 7 else 0
    return Reply(after_s=DELAYS_MS[rank] / 1e3)


def errors_of(ran: Ran, seen: list[Seen]) -> dict[float, float]:
    """Return by quantile how far the recorded one is from the server's own books, ns."""
    true = np.sort([s.answered_ns - s.arrived_ns for s in seen])
    return {
        q: abs(ran.quantile_ns("service", q) - true[round(q * len(true)) - 1])
        for q in (0.5, 0.99, 0.999)
    }


def test_known_delays_at_the_tail() -> None:
    """p50, p99 and p99.9 are within 2 % or 50 us of what the server did.

    A busy machine may delay a reply on its way, so one of several attempts must show it; a tool
    that gets it wrong gets it wrong each time.
    """
    for _ in range(ATTEMPTS):
        with FakeServer(stepped) as server:
            ran = drive(Plan(streams=(stream_of(server.address, 40),), threads=1, requests=N))
            errors = errors_of(ran, server.requests)
        assert ran.totals.ok == N
        limits = dict(
            zip(errors, (max(0.02 * ms * MS, 0.05 * MS) for ms in DELAYS_MS), strict=True)
        )
        if all(errors[q] <= limits[q] for q in errors):
            return
    pytest.fail(f"errors in ns by quantile: {errors}, allowed: {limits}")


def sound(request: Request) -> Reply:
    """Answer nine of ten requests after 1 ms, the tenth after 60 ms."""
    return Reply(after_s=0.06 if request.total % 10 == 9 else 0.001)


def silent(request: Request) -> Reply:
    """Never answer the slow ones."""
    return SILENCE if request.total % 10 == 9 else sound(request)


def resetting(request: Request) -> Reply:
    """Reset the connection instead of the slow answers."""
    return Reply(b"", then="reset") if request.total % 10 == 9 else sound(request)


def halving(request: Request) -> Reply:
    """Send half a reply and close, instead of the slow answers."""
    return Reply(b"+O", then="close") if request.total % 10 == 9 else sound(request)


def measured(script: Script) -> Repetition:
    """Run 200 inferences, one at a time on each of 4 connections."""
    with FakeServer(script) as server:
        assert isinstance(server.address, tuple)
        config = RunConfig(
            target=f"redis://127.0.0.1:{server.address[1]}",
            workload="command",
            command=CommandConfig(commands=(("SET", "k", "v"),)),
            connections=4,
            requests=200,
            warmup_s=0.0,
            repetitions=1,
            timeout_s=0.2,
            calibrate="never",
        )
        (repetition,) = run(config).repetitions
    return repetition


@pytest.mark.parametrize("script", [silent, resetting, halving])
def test_a_failing_server_never_looks_faster(script: Script) -> None:
    """A server that fails instead of being slow has no better tail: it has none, and says so."""
    slow, failing = measured(sound), measured(script)

    assert slow.response_ms.p95 is not None
    assert slow.response_ms.p95 >= 60
    assert failing.counts.ok < failing.counts.intended
    for latency in (failing.response_ms, failing.service_ms):
        assert {"p95", "p99", "p999", "max"} <= set(latency.beyond)
        assert latency.censored >= 15
        assert "p50" not in latency.beyond
    if script is silent:  # for our own time-out it is known how long it took at least
        assert failing.response_ms.p95 is not None
        assert failing.response_ms.p95 >= 200
