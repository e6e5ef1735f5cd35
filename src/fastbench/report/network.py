"""The baseline of a path for people, and what share of a run's service time it would explain."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from fastbench.network import read, request_bytes, transaction_like
from fastbench.report import numbers
from fastbench.report.formats import CONSOLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.network import Network, NetworkEnd, NetworkTest
    from fastbench.results import Result

WIDTH = 100
CAVEAT = (
    "measured apart from the run, one transaction at a time: a guide to the path and both ends' "
    "sockets, not a part of the run; a loaded path queues"
)


def render(network: Network) -> str:
    """Return the tests as plain text."""
    return "\n".join(_lines(network)) + "\n"


def print_share(folder: Path, result: Result, output_format: str) -> None:
    """Print the share after the console report of ``folder``, where a baseline lies in it.

    Raises as :func:`fastbench.network.read`.
    """
    baseline = read(folder)
    if baseline is not None and output_format == CONSOLE:
        sys.stdout.write(f"\n{share(baseline, result)}")


def share(network: Network, result: Result) -> str:
    """Return the network's share of the service time of ``result`` in lines of plain text."""
    return textwrap.fill(_share(network, result), WIDTH) + "\n"


def _share(network: Network, result: Result) -> str:
    size, summary = request_bytes(result), result.summary
    p50 = summary.service_ms.p50 if summary else None
    if size is None or not p50 or (summary and "p50" in summary.service_ms.beyond):
        return "network share: not available: the run has no tensor, or no median service time"
    test = transaction_like(network, size)
    if test is None or test.latency_ms is None or test.latency_ms.p50 is None:
        return (
            f"network share: not available: no TCP_RR with requests of about {size:,} bytes; "
            f"use fastbench net --request-bytes {size}"
        )
    trip, decimals = test.latency_ms.p50, numbers.milliseconds_decimals(test.latency_ms.p50)
    return (
        f"network share: {100 * trip / p50:.1f} % of the service time's median: TCP_RR of "
        f"{test.request_bytes:,}/{test.response_bytes:,} bytes with {network.server} "
        f"{numbers.milliseconds(trip, decimals)} ms, service "
        f"{numbers.milliseconds(p50, numbers.milliseconds_decimals(p50))} ms ({CAVEAT})"
    )


def _lines(network: Network) -> Iterator[str]:
    yield f"network baseline of {network.server} ({network.address}), {network.at}"
    yield ""
    for test in network.tests:
        yield from _test(test)
        for name, end in (("client", test.client), ("server", test.server)):
            yield f"    {name}: {_end(end)}"


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
        yield (
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
