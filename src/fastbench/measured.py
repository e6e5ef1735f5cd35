"""What the native engine measured: raw counters, before any interpretation.

Times are nanoseconds; ``counts`` arrays are int64 of shape (27648,) in HdrHistogram's layout for
lowest 64 ns, highest 1 h, 3 significant digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The fields of an interval that add up.
COUNTED = ("completed", "ok", "errors", "timeouts", "lost")

#: ``Snapshot.phase``
PHASES = ("connect", "warm-up", "measure", "drain", "ended")


@dataclass(frozen=True, slots=True)
class RawHistogram:
    """One latency histogram; ``min_ns`` is None when it is empty."""

    counts: NDArray[np.int64]
    total: int
    clipped: int
    min_ns: int | None
    max_ns: int
    sum_ns: float


@dataclass(frozen=True, slots=True)
class RawInterval:
    """What ended within one interval, all threads together: measured inferences.

    But ``completed`` counts the successes of any inference received during measure.
    """

    index: int
    completed: int
    ok: int
    errors: int
    timeouts: int
    lost: int
    response: RawHistogram
    service: RawHistogram
    lag: RawHistogram


@dataclass(frozen=True, slots=True)
class Totals:
    """Measured inferences by outcome, and what the connections did in all phases."""

    intended: int
    sent: int
    ok: int
    errors: int
    timeouts: int
    lost: int
    unfinished: int
    never_sent: int
    begin_ns: int
    end_ns: int
    completed: int  # successes received during measure, whenever they were intended
    answered: int  # replies of any outcome received during measure
    gave_up: int  # of the time-outs: the server said so before ours ran out
    late: int
    breaks: int  # connections lost, and tries to open them again that failed
    reconnects: int  # connections that stood again
    bytes_sent: int
    bytes_received: int
    bytes_answered: int  # of those received: during measure, as ``answered``
    blocked_ns: int  # output waited for room in a socket buffer, summed over connections


@dataclass(frozen=True, slots=True)
class RawNode:
    """What one node of a cluster did, measured inferences only.

    ``sent = ok + errors + timeouts + lost + unfinished + moved + asked``: an inference that a
    redirect passes on was sent to each node on its way.
    """

    sent: int
    ok: int
    errors: int
    timeouts: int
    lost: int
    unfinished: int
    moved: int
    asked: int


@dataclass(frozen=True, slots=True)
class RawThread:
    """One worker over measure; ``cpu`` is None when not pinned, times are 0 before join."""

    tid: int
    cpu: int | None
    elapsed_ns: int
    user_ns: int
    system_ns: int
    voluntary_switches: int
    involuntary_switches: int
    major_faults: int
    run_delay_ns: int | None  # ready to run, but without a CPU; None = the kernel does not tell
    spin_ns: int  # polled without finding anything
    stalls: int  # turns of the event loop over 1 ms
    stalled_ns: int
    longest_turn_ns: int
    window_full_ns: int  # open loop: something was due and found no free slot


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may be watched while the engine runs: all phases, all streams."""

    phase: str
    now_ns: int
    begin_ns: int  # of measure; 0 until all connections stand
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Capture:
    """One kept reply: the first dataset row of its inference, and its bytes off the wire."""

    row: int
    data: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class NetSocket:
    """A TCP socket as the kernel has it; numbers are 0 where it does not tell."""

    congestion_control: str
    nodelay: bool
    mss_bytes: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    retransmits: int  # segments sent again since the connection stood
    rtt_us: int  # the kernel's smoothed round-trip time
    path_mtu_bytes: int


@dataclass(frozen=True, slots=True)
class NetCounts:
    """What one end of a network test counted over its connection.

    ``window_bytes`` in ``window_ns``: as the receiver of a stream, after warm-up.
    """

    transactions: int
    received_bytes: int
    sent_bytes: int
    window_bytes: int
    window_ns: int
    cpu_ns: int
    elapsed_ns: int
    socket: NetSocket


@dataclass(frozen=True, slots=True)
class NetOutcome:
    """A network test as both ends saw it; ``measured``: transactions begun after warm-up."""

    client: NetCounts
    server: NetCounts
    measured: int
    measured_ns: int  # from the first request to the last response
    latency: RawHistogram
