"""A network baseline for tests, with round figures."""

from __future__ import annotations

import numpy as np
from support.sample_result import latency_of

from fastbench.network import NETWORK_SCHEMA_VERSION, Network, NetworkEnd, NetworkTest

END = NetworkEnd(
    cpu_share=0.25,
    congestion_control="cubic",
    nodelay=True,
    mss_bytes=1448,
    path_mtu_bytes=1500,
    send_buffer_bytes=87_040,
    receive_buffer_bytes=131_072,
    retransmits=0,
    rtt_us=40,
)


def transaction(request_bytes: int, trip_ms: float) -> NetworkTest:
    """Return a TCP_RR in which every round trip took ``trip_ms``."""
    return NetworkTest(
        test="TCP_RR",
        request_bytes=request_bytes,
        response_bytes=4004,
        measured_s=5.0,
        bytes_sent=100 * request_bytes,
        bytes_received=100 * 4004,
        client=END,
        server=END,
        transactions=100,
        transactions_per_s=20.0,
        latency_ms=latency_of(np.full(100, round(trip_ms * 1e6), dtype=np.int64)),
    )


def network(*tests: NetworkTest) -> Network:
    """Return the baseline of a path."""
    return Network(
        schema_version=NETWORK_SCHEMA_VERSION,
        fastbench_version="0",
        at="2026-01-02T03:04:05+00:00",
        server="lab:7400",
        address="192.0.2.7",
        tests=list(tests),
    )
