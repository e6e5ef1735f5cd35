"""Measures the path to a ``fastbench net serve``: one TCP connection for each test, one by one."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastbench import versioned
from fastbench._netprobe import NetProbe
from fastbench.errors import ConnectError, FastbenchError, UsageError
from fastbench.latency import latency_from_counts
from fastbench.network import (
    FILENAME,
    NETWORK_SCHEMA_VERSION,
    Network,
    NetworkEnd,
    NetworkTest,
)
from fastbench.report.folder import ResultFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastbench.measured import NetCounts, NetOutcome

KINDS = {"TCP_RR": 1, "TCP_STREAM": 2, "TCP_MAERTS": 3}
STREAM_BYTES = 131_072  # of each send of a stream
MAX_BYTES = 2**30  # these limits are csrc/netwire.h's
MAX_S = 3600
SHORTEST_TIMEOUT_S = 0.01
_NS = 1e9


@dataclass(frozen=True, slots=True)
class Times:
    """How long each test lasts, in seconds; ``timeout_s`` for each wait for the other end."""

    duration_s: float = 5.0
    warmup_s: float = 0.5
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One test to do: its name (a key of ``KINDS``) and sizes in bytes."""

    test: str
    request_bytes: int
    response_bytes: int = 1


def usual_tests(request_bytes: int, response_bytes: int) -> list[Spec]:
    """Return the round trip alone, one of a tensor's size, and a stream each way."""
    return [
        Spec("TCP_RR", 1, 1),
        Spec("TCP_RR", request_bytes, response_bytes),
        Spec("TCP_STREAM", STREAM_BYTES),
        Spec("TCP_MAERTS", STREAM_BYTES),
    ]


def measure(
    server: str, specs: list[Spec], times: Times, tell: Callable[[str], None] | None = None
) -> Network:
    """Do the tests against ``server`` (``HOST:PORT``) in order; ``tell`` hears which one begins.

    Raises :class:`UsageError` where ``server`` is no address or a limit is broken, else whatever
    :meth:`fastbench._netprobe.NetProbe.run` raises, with the server named.
    """
    _check(specs, times)
    address, port = resolve(server)
    tests = []
    for spec in specs:
        if tell is not None:
            tell(f"{spec.test} {spec.request_bytes:,}/{spec.response_bytes:,} bytes")
        try:
            tests.append(_record(spec, _run(_probe(address, port, spec, times))))
        except FastbenchError as error:
            msg = f"{server}: {error}"
            raise type(error)(msg) from error
    return Network(
        schema_version=NETWORK_SCHEMA_VERSION,
        fastbench_version=version("fastbench"),
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        server=server,
        address=address,
        tests=tests,
    )


def measure_into(
    folder: Path | None,
    server: str,
    specs: list[Spec],
    times: Times,
    tell: Callable[[str], None] | None = None,
) -> Network:
    """Do as :func:`measure`, and write ``network.json`` into ``folder``, made where missing.

    Raises :class:`UsageError` before the tests where nothing can be written there. Where they
    fail nothing is left behind.
    """
    if folder is None:
        return measure(server, specs, times, tell)
    results = ResultFolder(folder)
    results.prepare(replace=True)
    try:
        found = measure(server, specs, times, tell)
        results.add(FILENAME, versioned.to_json(found))
    finally:
        results.discard()
    return found


def resolve(server: str) -> tuple[str, int]:
    """Return numeric address and port of ``HOST:PORT`` or ``[IPV6]:PORT``."""
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or f"{parts.path}{parts.query}{parts.fragment}{parts.username or ''}":
        msg = f"{server!r}: write HOST:PORT, as `fastbench net serve` names it"
        raise UsageError(msg)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        msg = f"{server}: no address is known for {host}: {error}"
        raise ConnectError(msg) from error
    return str(found[0][4][0]), port


def _check(specs: list[Spec], times: Times) -> None:
    for spec in specs:
        if not all(1 <= n <= MAX_BYTES for n in (spec.request_bytes, spec.response_bytes)):
            msg = f"requests and responses of a network test have 1 to {MAX_BYTES:,} bytes"
            raise UsageError(msg)
    if not (0 < times.duration_s <= MAX_S and 0 <= times.warmup_s <= MAX_S):
        msg = f"a network test lasts more than 0 and at most {MAX_S:,} s, its warm-up from 0"
        raise UsageError(msg)
    if not SHORTEST_TIMEOUT_S <= times.timeout_s <= MAX_S:
        msg = f"--timeout {times.timeout_s:g}: from {SHORTEST_TIMEOUT_S:g} to {MAX_S:,} s"
        raise UsageError(msg)


def _probe(address: str, port: int, spec: Spec, times: Times) -> NetProbe:
    spans = (times.warmup_s, times.duration_s, times.timeout_s)
    return NetProbe(
        address,
        port,
        KINDS[spec.test],
        spec.request_bytes,
        spec.response_bytes,
        *(round(span * _NS) for span in spans),
    )


def _run(probe: NetProbe) -> NetOutcome:
    """Run the probe on a thread of its own, so that Ctrl-C ends it at once."""
    ended: list[NetOutcome | FastbenchError] = []

    def work() -> None:
        try:
            ended.append(probe.run())
        except FastbenchError as error:
            ended.append(error)

    thread = threading.Thread(target=work, name="fb-net-client", daemon=True)
    try:
        thread.start()  # within: Ctrl-C may come while it waits for the thread to begin
        thread.join()
    except BaseException:
        probe.stop()
        if thread.ident is not None:
            thread.join()
        raise
    outcome = ended[0]
    if isinstance(outcome, FastbenchError):
        raise outcome
    return outcome


def _record(spec: Spec, outcome: NetOutcome) -> NetworkTest:
    receiver = outcome.server if spec.test == "TCP_STREAM" else outcome.client
    is_stream = spec.test != "TCP_RR"
    window_ns = receiver.window_ns if is_stream else outcome.measured_ns
    if not window_ns:
        msg = "the test was too short to measure anything: use a longer --duration"
        raise UsageError(msg)
    common: dict[str, Any] = {
        "test": spec.test,
        "request_bytes": spec.request_bytes,
        "response_bytes": 0 if is_stream else spec.response_bytes,
        "measured_s": window_ns / _NS,
        "bytes_sent": outcome.client.sent_bytes,
        "bytes_received": outcome.client.received_bytes,
        "client": _end(outcome.client),
        "server": _end(outcome.server),
    }
    if is_stream:
        return NetworkTest(**common, mbit_per_s=receiver.window_bytes * 8e3 / window_ns)
    h = outcome.latency
    return NetworkTest(
        **common,
        transactions=outcome.measured,
        transactions_per_s=outcome.measured / window_ns * _NS,
        latency_ms=latency_from_counts(
            h.counts,
            total=h.total,
            clipped=h.clipped,
            min_ns=h.min_ns or 0,
            max_ns=h.max_ns,
            sum_ns=h.sum_ns,
        ),
    )


def _end(counts: NetCounts) -> NetworkEnd:
    s = counts.socket
    return NetworkEnd(
        cpu_share=counts.cpu_ns / max(counts.elapsed_ns, 1),
        congestion_control=s.congestion_control,
        nodelay=s.nodelay,
        mss_bytes=s.mss_bytes,
        path_mtu_bytes=s.path_mtu_bytes,
        send_buffer_bytes=s.send_buffer_bytes,
        receive_buffer_bytes=s.receive_buffer_bytes,
        retransmits=s.retransmits,
        rtt_us=s.rtt_us,
    )
