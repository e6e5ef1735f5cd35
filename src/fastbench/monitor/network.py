"""Network interfaces and TCP, of the network namespace that this process is in.

Sources: proc(5) for /proc/net/dev, RFC 1213 (tcpOutSegs, tcpRetransSegs) for /proc/net/snmp, the
kernel's Documentation/ABI/testing/sysfs-class-net for the speed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fastbench.monitor.files import number, read_number, read_text
from fastbench.results import InterfaceUsage

_COLUMNS = 16  # of /proc/net/dev: 8 for receiving, 8 for sending


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one interface since it came up; ``drops``: dropped or faulty packets."""

    sent_bytes: int
    received_bytes: int
    drops: int


def traffic(root: Path) -> dict[str, Traffic]:
    """Return the counters of each interface; empty where the kernel does not tell."""
    found = {}
    for line in (read_text(root / "proc/net/dev") or "").splitlines():
        name, colon, counters = line.rpartition(":")
        values = [number(word) or 0 for word in counters.split()]
        if colon and len(values) >= _COLUMNS:
            drops = values[2] + values[3] + values[10] + values[11]
            found[name.strip()] = Traffic(values[8], values[0], drops)
    return found


def tcp_segments(root: Path) -> tuple[int, int] | None:
    """Return segments sent and segments sent again since boot; None where not told."""
    lines = (read_text(root / "proc/net/snmp") or "").splitlines()
    names, values = ([*line.split()] for line in [*_of("Tcp:", lines), "", ""][:2])
    fields = dict(zip(names, values, strict=False))
    sent, again = (number(fields.get(name, "")) for name in ("OutSegs", "RetransSegs"))
    return None if sent is None or again is None else (sent, again)


def speed_mbit_per_s(root: Path, name: str) -> int | None:
    """Return the speed of the link; None for virtual interfaces and links that are down."""
    speed = read_number(root / "sys/class/net" / name / "speed")
    return speed if speed is not None and speed > 0 else None


class InterfacesProbe:
    """Samples all interfaces; only those that carried something are in the result."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._first = self._last = traffic(root)
        self._first_s = self._last_s = time.monotonic()
        self._max: dict[str, tuple[float, float]] = {}

    def sample(self, at_s: float) -> bool:
        """Take a sample; False where there is nothing to see."""
        del at_s
        now, now_s = traffic(self._root), time.monotonic()
        for name in now.keys() & self._last.keys():
            rates = _rates(self._last[name], now[name], now_s - self._last_s)
            before = self._max.get(name, (0.0, 0.0))
            self._max[name] = max(rates[0], before[0]), max(rates[1], before[1])
        self._last, self._last_s = now, now_s
        return bool(now)

    def usage(self) -> list[InterfaceUsage]:
        """Return the interfaces that carried something, by name."""
        names = sorted(self._max)
        return [self._usage(name) for name in names if self._max[name] != (0.0, 0.0)]

    def _usage(self, name: str) -> InterfaceUsage:
        first = self._first.get(name, Traffic(0, 0, 0))  # it came up meanwhile
        last = self._last.get(name, first)
        sent, received = _rates(first, last, self._last_s - self._first_s)
        return InterfaceUsage(
            name=name,
            speed_mbit_per_s=speed_mbit_per_s(self._root, name),
            sent_bytes_per_s=sent,
            received_bytes_per_s=received,
            sent_bytes_per_s_max=self._max[name][0],
            received_bytes_per_s_max=self._max[name][1],
            drops=max(0, last.drops - first.drops),
        )


def _rates(earlier: Traffic, later: Traffic, elapsed_s: float) -> tuple[float, float]:
    """Return bytes sent and received per second; an interface that began anew gives 0."""
    elapsed_s = max(elapsed_s, 1e-9)
    return (
        max(0, later.sent_bytes - earlier.sent_bytes) / elapsed_s,
        max(0, later.received_bytes - earlier.received_bytes) / elapsed_s,
    )


def _of(prefix: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(prefix)]
