"""A background thread that samples client, host and local servers at 5 Hz, the rest at 1 Hz.

It is an ordinary Python thread: it needs less than 1 ms of CPU per sample and shares nothing
with the native worker threads.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import psutil

from fastbench.monitor import gpu, metrics
from fastbench.monitor.gpu import GpusProbe
from fastbench.monitor.host import HostProbe
from fastbench.monitor.metrics import MetricsPoller
from fastbench.monitor.network import InterfacesProbe
from fastbench.monitor.process import ProcessProbe
from fastbench.monitor.system import SystemProbe
from fastbench.monitor.threads import ThreadsProbe
from fastbench.results import ServerUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from fastbench.monitor.base import Probe
    from fastbench.monitor.threads import ThreadSeries
    from fastbench.monitor.watched import Watched
    from fastbench.results import GpuUsage, HostUsage, ProcessUsage

INTERVAL_S = 0.2
SLOW_INTERVAL_S = 1.0  # of what costs more to read and changes slowly


@dataclass(frozen=True, slots=True)
class Usage:
    """What the monitor saw; None = absent. ``servers``: each in the order it was given."""

    client: ProcessUsage | None = None
    host: HostUsage | None = None
    threads: ThreadSeries | None = None
    gpus: list[GpuUsage] = field(default_factory=list)
    servers: list[ServerUsage] = field(default_factory=list)


class Monitor:
    """Watches from ``start`` to ``stop``, or inside a ``with`` block.

    ``servers``: each once, see :func:`fastbench.monitor.watched.distinct`.
    ``thread_ids``: returns the ids of the native worker threads, 0 for those not started.
    """

    def __init__(
        self,
        servers: Iterable[Watched] = (),
        thread_ids: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self._threads = ThreadsProbe(thread_ids)
        self._client = ProcessProbe(os.getpid())
        self._host = _host_probe()
        self._system = SystemProbe()
        self._interfaces = InterfacesProbe()
        self._gpus = GpusProbe(gpu.driver())
        self._servers = [_Server(server) for server in servers]
        processes = (server.process for server in self._servers)
        self._active = [
            _Paced(probe, INTERVAL_S)
            for probe in (self._client, self._host, *processes, self._threads)
            if probe is not None
        ]
        slow: tuple[Probe[object], ...] = (self._system, self._interfaces, self._gpus)
        self._active += [_Paced(probe, SLOW_INTERVAL_S) for probe in slow]
        self._usage: Usage | None = None
        self._started_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fb-monitor", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def client_cpu_percent(self) -> float | None:
        """The client's CPU use a moment ago, 100 = one core; None before the first sample."""
        return self._client.cpu_percent

    @property
    def server_cpu_percent(self) -> float | None:
        """The local servers' CPU use a moment ago, 100 = one core; None where none is known."""
        each = [s.process.cpu_percent for s in self._servers if s.process is not None]
        known = [percent for percent in each if percent is not None]
        return sum(known) if known else None

    @property
    def thread_cpu_percents(self) -> tuple[float, ...]:
        """The worker threads' CPU use in the last second, 100 = one core; empty = not yet known."""
        return self._threads.recent_percents

    def start(self) -> None:
        """Begin to sample; each server has then answered for the first time, or not in time."""
        pollers = [server.poller for server in self._servers if server.poller is not None]
        for poller in pollers:
            poller.start()
        metrics.await_answers(pollers)
        self._started_s = time.monotonic()
        self._thread.start()

    def stop(self) -> Usage:
        """Take a last sample and return what was seen; a second call returns the same."""
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join()
        if self._usage is None:
            for server in self._servers:
                server.end()
            self._usage = Usage(
                client=self._client.usage(),
                host=self._host_usage(),
                threads=self._threads.usage(),
                gpus=self._gpus.usage(),
                servers=[server.usage() for server in self._servers],
            )
            self._gpus.close()
        return self._usage

    def _host_usage(self) -> HostUsage | None:
        usage = None if self._host is None else self._host.usage()
        if usage is None:
            return None
        return msgspec.structs.replace(
            usage, **dataclasses.asdict(self._system.usage()), interfaces=self._interfaces.usage()
        )

    def _run(self) -> None:
        due_s = sampled_s = self._started_s
        stopping = False
        while not stopping:
            due_s += INTERVAL_S
            stopping = self._stop.wait(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            # CPU time is counted in ticks of 10 ms: over a shorter rest it would mean nothing.
            if not stopping or now_s - sampled_s > INTERVAL_S / 2 or sampled_s == self._started_s:
                self._sample(now_s - self._started_s, last=stopping)
                sampled_s = now_s

    def _sample(self, at_s: float, *, last: bool) -> None:
        self._active = [paced for paced in self._active if paced.sample(at_s, last=last)]


class _Server:
    """What watches one server: its process where it is local, its own figures where it tells."""

    def __init__(self, watched: Watched) -> None:
        source = watched.source()
        self._url = watched.url
        self.process = None if watched.pid is None else ProcessProbe(watched.pid)
        self.poller = None if source is None else MetricsPoller(source)

    def end(self) -> None:
        """Let it answer for the last time, without waiting for that."""
        if self.poller is not None:
            self.poller.end()

    def usage(self) -> ServerUsage:
        """Return what was seen and said."""
        return ServerUsage(
            url=self._url,
            process=None if self.process is None else self.process.usage(),
            metrics=None if self.poller is None else self.poller.stop(),
        )


class _Paced:
    """A probe and how often it is sampled: every ``every_s`` seconds, and at the end."""

    def __init__(self, probe: Probe[object], every_s: float) -> None:
        self._probe = probe
        self._every_s = every_s
        self._due_s = 0.0

    def sample(self, at_s: float, *, last: bool) -> bool:
        """Take a sample where one is due; False where nothing more will come."""
        if at_s < self._due_s and not last:
            return True
        self._due_s = at_s + self._every_s - INTERVAL_S / 2
        return self._probe.sample(at_s)


def _host_probe() -> HostProbe | None:
    try:
        return HostProbe()
    except (OSError, psutil.Error):  # a sandbox may hide /proc
        return None
