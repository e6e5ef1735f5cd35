"""What a network test found, as plain frozen data: the content of ``network.json``.

Tests have netperf's names and meaning (https://hewlettpackard.github.io/netperf/doc/netperf.html):
TCP_RR sends a request and waits for the response, one transaction at a time; TCP_STREAM sends to
the server as fast as it goes, TCP_MAERTS from it. Mbit/s are 10^6 bit/s of payload.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from fastbench import versioned
from fastbench.errors import UsageError
from fastbench.results import Latency, NetworkShare

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.results import Result

NETWORK_SCHEMA_VERSION = 1
FILENAME = "network.json"

#: A transaction counts as one of an inference's size up to this factor between their sizes.
ALIKE = 1.1


class NetworkEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One end's thread and socket, read at the end; 0 or empty where the kernel does not tell."""

    cpu_share: float  # CPU time of the thread / time of the connection, with warm-up
    congestion_control: str
    nodelay: bool  # TCP_NODELAY
    mss_bytes: int
    path_mtu_bytes: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    retransmits: int  # segments sent again by this end
    rtt_us: int  # smoothed round-trip time of the kernel


class NetworkTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test. ``measured_s`` is without warm-up; the byte counts are with it.

    A stream's ``request_bytes`` is the size of each send. ``transactions``, ``latency_ms`` and
    ``transactions_per_s`` are of TCP_RR, ``mbit_per_s`` of the streams, as their receiver saw it.
    """

    test: str  # TCP_RR | TCP_STREAM | TCP_MAERTS
    request_bytes: int
    response_bytes: int
    measured_s: float
    bytes_sent: int
    bytes_received: int
    client: NetworkEnd
    server: NetworkEnd
    transactions: int | None = None
    transactions_per_s: float | None = None
    latency_ms: Latency | None = None
    mbit_per_s: float | None = None


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline of one path: everything that ``network.json`` holds."""

    schema_version: int
    fastbench_version: str
    at: str  # ISO 8601, UTC
    server: str  # HOST:PORT as given
    address: str  # the numeric address it stood for
    tests: list[NetworkTest]


def from_json(data: bytes) -> Network:
    """Return the baseline that ``data`` holds.

    Raises :class:`UsageError` where it is not JSON, not a baseline, or of a newer schema.
    """
    return versioned.from_json(data, Network, NETWORK_SCHEMA_VERSION, "network")


def read(folder: Path) -> Network | None:
    """Return the baseline in a result folder; None where there is none.

    Raises :class:`UsageError` where it is damaged, unreadable or of a newer schema.
    """
    file = folder / FILENAME
    try:
        return from_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise UsageError(msg) from error
    except UsageError as error:
        msg = f"{file}: {error}"
        raise UsageError(msg) from error


def request_bytes(result: Result) -> int | None:
    """Return the bytes of the tensor that one inference sends; None where it sends none."""
    data = result.dataset
    sends_none = result.config.get("form") == "execute" or result.streams
    if sends_none or data is None or not data.rows or not data.bytes:
        return None
    return round(data.bytes / data.rows) * int(result.config.get("batch") or 1)


def transaction_like(network: Network, size: int) -> NetworkTest | None:
    """Return the TCP_RR whose request is nearest to ``size`` bytes; None where none is alike."""
    found = [t for t in network.tests if t.test == "TCP_RR" and t.latency_ms]
    nearest = min(found, key=lambda t: _ratio(t.request_bytes, size), default=None)
    return nearest if nearest and _ratio(nearest.request_bytes, size) <= ALIKE else None


def with_share(folder: Path, result: Result) -> Result:
    """Return ``result`` with the share by the baseline in its folder, where there is one.

    Raises as :func:`read`.
    """
    baseline = read(folder)
    if baseline is None:
        return result
    return msgspec.structs.replace(result, network_share=share_of(baseline, result))


def share_of(network: Network, result: Result) -> NetworkShare:
    """Return what share of the median service time of ``result`` the path explains."""
    size, summary = request_bytes(result), result.summary
    service_ms = summary.service_ms.p50 if summary else None
    if size is None or not service_ms or (summary and "p50" in summary.service_ms.beyond):
        return NetworkShare(
            server=network.server,
            at=network.at,
            reason="the run has no tensor, or no median service time",
        )
    test = transaction_like(network, size)
    if test is None or test.latency_ms is None or test.latency_ms.p50 is None:
        reason = (
            f"no TCP_RR with requests of about {size:,} bytes; "
            f"use fastbench net --request-bytes {size}"
        )
        return NetworkShare(server=network.server, at=network.at, reason=reason)
    return NetworkShare(
        server=network.server,
        at=network.at,
        share=test.latency_ms.p50 / service_ms,
        round_trip_p50_ms=test.latency_ms.p50,
        service_p50_ms=service_ms,
        request_bytes=test.request_bytes,
        response_bytes=test.response_bytes,
    )


def _ratio(a: int, b: int) -> float:
    return math.exp(abs(math.log(a) - math.log(b)))
