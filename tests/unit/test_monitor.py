"""The monitor: what it sees of real processes, and that their end does no harm."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from fastbench.monitor import process
from fastbench.monitor.host import HostProbe
from fastbench.monitor.process import ProcessProbe
from fastbench.monitor.sampler import INTERVAL_S, Monitor
from fastbench.monitor.threads import ThreadsProbe
from fastbench.monitor.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = "import sys\nprint('up', flush=True)\nwhile True: pass"
IDLE = "import sys\nprint('up', flush=True)\nsys.stdin.read()"


def started(program: str) -> subprocess.Popen[bytes]:
    """Return a Python process that has begun to run ``program``."""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


def ended(child: subprocess.Popen[bytes]) -> None:
    """Kill ``child``, wait for it and close its pipes."""
    child.kill()
    child.communicate()


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that uses all the CPU it can get."""
    child = started(BUSY)
    yield child
    ended(child)


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that waits."""
    child = started(IDLE)
    yield child
    ended(child)


def wait_for_cpu(pid: int, seconds: float) -> None:
    """Return when the process has used that much more CPU time."""
    watched = psutil.Process(pid)
    goal = sum(watched.cpu_times()[:2]) + seconds
    deadline = time.monotonic() + 60
    while sum(watched.cpu_times()[:2]) < goal and time.monotonic() < deadline:
        threading.Event().wait(0.05)


def test_cpu_time_agrees_with_the_kernels_account(busy: subprocess.Popen[bytes]) -> None:
    """The mean times the elapsed time is the CPU time that the kernel counted, within a tick."""
    before, begun = sum(psutil.Process(busy.pid).cpu_times()[:2]), time.monotonic()
    probe = ProcessProbe(busy.pid)
    wait_for_cpu(busy.pid, 0.3)
    probe.sample(0.3)
    usage = probe.usage()
    elapsed = time.monotonic() - begun
    after = sum(psutil.Process(busy.pid).cpu_times()[:2])

    assert usage is not None
    assert 0 < usage.cpu_percent_mean * elapsed / 100 <= (after - before + 0.05) * 1.2
    assert usage.cpu_percent_mean * elapsed / 100 >= 0.15
    assert usage.rss_max_bytes > 2**20
    assert usage.threads_max == 1


def test_idle_process_costs_nothing(idle: subprocess.Popen[bytes]) -> None:
    """A waiting process shows no CPU use, but its memory."""
    with Monitor([watched(idle)]) as monitor:
        wait_for_samples(monitor, 2)
    (server,) = monitor.stop().servers

    assert server.process is not None
    assert server.process.cpu_percent_mean == 0
    assert server.process.rss_max_bytes > 0
    assert server.metrics is None


def watched(process: subprocess.Popen[bytes]) -> Watched:
    """Return a process as a server that is watched."""
    return Watched(url=f"redis://{process.pid}", address=str(process.pid), pid=process.pid)


def test_each_of_several_servers_has_its_own_samples(
    idle: subprocess.Popen[bytes], busy: subprocess.Popen[bytes]
) -> None:
    """Processes are not mixed up, and what is shown of now is their sum."""
    with Monitor([watched(idle), watched(busy)]) as monitor:
        wait_for_samples(monitor, 3)
        wait_for_cpu(busy.pid, 0.1)
        wait_for_samples(monitor, 6)
        assert monitor.server_cpu_percent is not None
    first, second = monitor.stop().servers

    assert (first.url, second.url) == (f"redis://{idle.pid}", f"redis://{busy.pid}")
    assert first.process is not None
    assert second.process is not None
    assert (first.process.pid, second.process.pid) == (idle.pid, busy.pid)
    assert first.process.cpu_percent_mean == 0 < second.process.cpu_percent_mean


def wait_for_samples(monitor: Monitor, count: int) -> None:
    """Return when the monitor has taken so many samples of the client."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        usage = monitor._client.usage()
        if usage is not None and len(usage.samples) >= count:
            return
        threading.Event().wait(INTERVAL_S / 4)


def test_samples_carry_rising_instants_since_the_start() -> None:
    """Client and host are sampled from the start on, the client under its own pid."""
    with Monitor() as monitor:
        wait_for_samples(monitor, 3)
        assert monitor.client_cpu_percent is not None
    usage = monitor.stop()

    assert usage.client is not None
    assert usage.client.pid == os.getpid()
    instants = [sample.at_s for sample in usage.client.samples]
    assert instants == sorted(instants)
    assert instants[0] >= INTERVAL_S / 2
    assert usage.host is not None
    assert 0 <= usage.host.cpu_percent_mean <= 100
    assert usage.host.available_min_bytes > 0
    assert usage.servers == []


def test_short_run_has_a_sample() -> None:
    """Stopping at once still gives a sample, and stopping again gives the same."""
    monitor = Monitor()
    monitor.start()
    usage = monitor.stop()

    assert usage.client is not None
    assert len(usage.client.samples) == 1
    assert monitor.stop() == usage


def test_vanished_server_ends_its_series_only(idle: subprocess.Popen[bytes]) -> None:
    """A server that is killed leaves its samples, and the others go on."""
    with Monitor([watched(idle)]) as monitor:
        wait_for_samples(monitor, 2)
        ended(idle)
        wait_for_samples(monitor, 5)
    usage = monitor.stop()

    (server,) = usage.servers
    assert server.process is not None
    assert usage.client is not None
    assert 1 <= len(server.process.samples) < len(usage.client.samples)


def test_zombie_counts_as_gone() -> None:
    """A killed server that nobody has waited for yet is not an idle server."""
    child = started(IDLE)
    try:
        probe = ProcessProbe(child.pid)
        assert probe.sample(0.1)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert not probe.sample(0.2)
        usage = probe.usage()
        assert usage is not None
        assert len(usage.samples) == 1
    finally:
        ended(child)


def test_process_that_never_was() -> None:
    """A pid without a process has no usage, and that is no error."""
    child = started(IDLE)
    ended(child)
    probe = ProcessProbe(child.pid)

    assert not probe.sample(0.1)
    assert probe.usage() is None
    assert probe.cpu_percent is None


def test_memory_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long series are thinned evenly, and their maxima forget nothing."""
    monkeypatch.setattr(process, "MAX_SAMPLES", 8)
    probe = ProcessProbe(os.getpid())
    for i in range(100):
        assert probe.sample(float(i))
    usage = probe.usage()

    assert usage is not None
    assert len(usage.samples) <= 8
    instants = [sample.at_s for sample in usage.samples]
    assert len({b - a for a, b in itertools.pairwise(instants)}) == 1
    assert usage.rss_max_bytes >= max(sample.rss_bytes for sample in usage.samples)


def test_host_without_a_sample() -> None:
    """Nothing is said about a host that was never sampled."""
    assert HostProbe().usage() is None


def test_hidden_host_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sandbox hides the host, the client is watched all the same."""

    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    monitor = Monitor()
    monitor.start()
    usage = monitor.stop()

    assert usage.host is None
    assert usage.client is not None


def test_threads_are_told_apart() -> None:
    """A thread that works shows CPU time in its own series, one that waits shows none."""
    stop, idle_up = threading.Event(), threading.Event()
    ids: list[int] = [0, 0]

    def work() -> None:
        ids[0] = threading.get_native_id()
        while not stop.is_set():
            sum(range(10_000))

    def wait() -> None:
        ids[1] = threading.get_native_id()
        idle_up.set()
        stop.wait()

    threads = [threading.Thread(target=work), threading.Thread(target=wait)]
    for thread in threads:
        thread.start()
    idle_up.wait()
    probe = ThreadsProbe(lambda: ids)
    end = time.monotonic() + 60
    series: list[list[float]] = [[], []]
    while sum(series[0]) < 50 and time.monotonic() < end:
        time.sleep(0.05)
        probe.sample(0.0)
        series = probe.usage() or series
    stop.set()
    for thread in threads:
        thread.join()

    assert sum(series[0]) >= 50
    assert sum(series[1]) < sum(series[0])
    assert len(series[0]) == len(series[1])


def test_threads_that_have_not_started() -> None:
    """Without a thread there is no series."""
    probe = ThreadsProbe(lambda: [0])
    probe.sample(0.0)
    probe.sample(0.2)

    assert probe.usage() is None


def test_stat_of_a_process_with_an_odd_name(tmp_path: Path) -> None:
    """The name in brackets may hold anything; the numbers are counted from its end."""
    numbers = [str(n) for n in range(4, 53)]
    (tmp_path / "stat").write_text(f"7 (a) S (b) R {' '.join(numbers)}\n")
    stat = process.read_stat(tmp_path / "stat")

    assert stat is not None
    assert stat.state == "R"
    assert stat.cpu_s == (14 + 15) / os.sysconf("SC_CLK_TCK")
    assert (stat.threads, stat.began) == (20, 22)
    assert stat.rss_bytes == 24 * os.sysconf("SC_PAGE_SIZE")
    assert process.read_stat(tmp_path / "gone") is None


def test_stat_agrees_with_psutil(idle: subprocess.Popen[bytes]) -> None:
    """Of a process that waits both ways of asking say the same."""
    stat, other = process.read_stat(Path(f"/proc/{idle.pid}/stat")), psutil.Process(idle.pid)

    assert stat is not None
    assert stat.threads == other.num_threads()
    assert stat.cpu_s == pytest.approx(sum(other.cpu_times()[:2]), abs=0.05)
    assert stat.rss_bytes == pytest.approx(other.memory_info().rss, rel=0.2)
