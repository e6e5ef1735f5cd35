"""The baseline of a path for people, and what share of a run's service time it would explain."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fastbench.report import numbers
from fastbench.report.grid import WIDTH, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.network import Network, NetworkEnd, NetworkTest
    from fastbench.results import NetworkShare

TITLE = "network share"
CAVEAT = (
    "measured apart from the run, one transaction at a time: a guide to the path and both ends' "
    "sockets, not a part of the run; a loaded path queues"
)


def render(network: Network) -> str:
    """Return the tests as plain text."""
    return "\n".join(_lines(network)) + "\n"


def share_text(share: NetworkShare) -> str:
    """Return the network's share of a run's service time in a sentence."""
    if share.share is None:
        return f"not available: {share.reason}"
    return (
        f"{100 * share.share:.1f} % of the service time's median: TCP_RR of "
        f"{share.request_bytes or 0:,}/{share.response_bytes or 0:,} bytes with {share.server} "
        f"{_milliseconds(share.round_trip_p50_ms)}, service {_milliseconds(share.service_p50_ms)} "
        f"({CAVEAT})"
    )


def _milliseconds(value: float | None) -> str:
    return f"{numbers.milliseconds(value, numbers.milliseconds_decimals(value))} ms"


def _lines(network: Network) -> Iterator[str]:
    yield f"network baseline of {network.server} ({network.address}), {network.at}"
    yield ""
    for test in network.tests:
        yield from _test(test)
        for name, end in (("client", test.client), ("server", test.server)):
            yield textwrap.fill(
                f"    {name}: {_end(end)}", WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False
            )


def _test(test: NetworkTest) -> Iterator[str]:
    if test.mbit_per_s is not None:
        rate = numbers.rate(test.mbit_per_s)
        yield f"{test.test}, sends of {test.request_bytes:,} bytes: {rate} Mbit/s"
    if test.latency_ms is not None:
        latency = test.latency_ms
        decimals = numbers.milliseconds_decimals(latency.p50)
        quantiles = ", ".join(
            f"{name} "
            + numbers.milliseconds(
                getattr(latency, name), decimals, few=name in latency.few_samples
            )
            for name in ("min", "p50", "p99", "max")
        )
        yield wrapped(
            f"{test.test}, {test.request_bytes:,}/{test.response_bytes:,} bytes: "
            f"{numbers.rate(test.transactions_per_s)} transactions/s, {quantiles} ms"
        )


def _end(end: NetworkEnd) -> str:
    return (
        f"CPU {100 * end.cpu_share:.0f} %, {end.congestion_control or 'unknown'}, "
        f"TCP_NODELAY {'on' if end.nodelay else 'off'}, MSS {end.mss_bytes:,}, "
        f"path MTU {end.path_mtu_bytes:,}, buffers {end.send_buffer_bytes:,} out and "
        f"{end.receive_buffer_bytes:,} in, retransmits {end.retransmits:,}"
    )
