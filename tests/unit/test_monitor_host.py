"""What the host does to a run: read from trees that stand for machines, and from this one."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from fastbench.monitor import cgroup, clock, network
from fastbench.monitor.network import InterfacesProbe, Traffic
from fastbench.monitor.sampler import Monitor
from fastbench.monitor.system import SystemProbe
from tests.support import faketree

if TYPE_CHECKING:
    from pathlib import Path

CPU = "sys/devices/system/cpu"
CLOCK = CPU + "/cpu{}/cpufreq/scaling_cur_freq"
DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo
    lo: {lo}       5    0    0    0     0          0         0 {lo} 5 0 0 0 0 0 0
  eth0:{rx} 116138    {errs}    {drop}    0     0          0         0 {tx} 693    1    2  0 0 0 0
 eth0:1:       0       0    0    0    0     0          0         0        0       0    0  0 0 0 0 0
garbage"""
SNMP = """Ip: Forwarding DefaultTTL
Ip: 1 64
Tcp: RtoAlgorithm MaxConn OutSegs RetransSegs
Tcp: 1 -1 {} {}"""


def dev(lo: int = 0, rx: int = 0, tx: int = 0, errs: int = 0, drop: int = 0) -> dict[str, str]:
    """Return the file of interfaces with these counters."""
    return {"proc/net/dev": DEV.format(lo=lo, rx=rx, tx=tx, errs=errs, drop=drop)}


def test_clocks_of_the_cpus_in_use(tmp_path: Path) -> None:
    """The file of cpufreq is believed, in kHz, and only CPUs that are asked for count."""
    root = faketree.plant(tmp_path, {CLOCK.format(n): str(1_000_000 * (n + 1)) for n in range(4)})

    assert clock.frequencies_mhz(root, [1, 3, 9]) == [2000.0, 4000.0]


def test_clocks_without_cpufreq(tmp_path: Path) -> None:
    """Without cpufreq /proc/cpuinfo is read; without either there is none."""
    text = "\n\n".join(f"processor\t: {n}\nbogus\ncpu MHz\t\t: {n + 1}500.5" for n in range(3))
    root = faketree.plant(tmp_path / "a", {"proc/cpuinfo": text})

    assert clock.frequencies_mhz(root, [0, 2]) == [1500.5, 3500.5]
    assert clock.frequencies_mhz(tmp_path / "b", [0, 2]) == []


def test_heat_is_counted_once_per_core(tmp_path: Path) -> None:
    """SMT siblings see the same event; each physical core counts once."""
    files = faketree.cpus(cores=2, threads=2)
    for cpu, count in enumerate((5, 7, 6, 7)):
        files[f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count"] = str(count)
    root = faketree.plant(tmp_path, files)

    assert clock.thermal_throttles(root) == {0: 6, 1: 7}


def test_heat_that_nobody_tells(tmp_path: Path) -> None:
    """A machine without the counters is not a cool one: nothing is known."""
    assert clock.thermal_throttles(faketree.plant(tmp_path, faketree.cpus())) is None


@pytest.mark.parametrize(
    ("membership", "stat", "text"),
    [
        ("0::/a/b", "sys/fs/cgroup/a/b/cpu.stat", "usage_usec 9\nthrottled_usec 1500000"),
        ("0::/a/b", "sys/fs/cgroup/a/cpu.stat", "throttled_usec 1500000"),
        ("0::/x/y", "sys/fs/cgroup/cpu.stat", "throttled_usec 1500000"),
        ("0::/../../z", "sys/fs/cgroup/cpu.stat", "throttled_usec 1500000"),
        (
            "3:cpu,cpuacct:/d/1",
            "sys/fs/cgroup/cpu,cpuacct/d/1/cpu.stat",
            "throttled_time 15" + 8 * "0",
        ),
        (
            "1:cpu:/d/1\n0::/",
            "sys/fs/cgroup/cpu/cpu.stat",
            "nr_throttled 2\nthrottled_time 15" + 8 * "0",
        ),
    ],
)
def test_quota_of_the_own_group_and_those_above(
    tmp_path: Path, membership: str, stat: str, text: str
) -> None:
    """Both versions, the own group, one above it and what a container sees of it: seconds."""
    root = faketree.plant(tmp_path, {"proc/self/cgroup": membership, stat: text})

    assert cgroup.throttled_s(cgroup.groups(root)) == {root / stat: 1.5}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "garbage"},
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.stat": "usage_usec 5"},
        {"proc/self/cgroup": "0::/../up", "sys/fs/up/cpu.stat": "throttled_usec 5"},
    ],
)
def test_no_quota_to_be_seen(tmp_path: Path, files: dict[str, str]) -> None:
    """No group, no quota in it, or a group outside what is mounted: nothing is known."""
    assert cgroup.groups(faketree.plant(tmp_path, files)) == []


def test_interfaces_are_read_column_by_column(tmp_path: Path) -> None:
    """Bytes both ways; dropped and faulty packets of both directions are added up."""
    found = network.traffic(faketree.plant(tmp_path, dev(lo=7, rx=100, tx=200, errs=3, drop=4)))

    assert found["eth0"] == Traffic(sent_bytes=200, received_bytes=100, drops=3 + 4 + 1 + 2)
    assert found["lo"] == Traffic(7, 7, 0)
    assert set(found) == {"lo", "eth0", "eth0:1"}


def test_own_interfaces_agree_with_psutil() -> None:
    """This machine's counters are those that psutil reads, or newer."""
    before = psutil.net_io_counters(pernic=True)
    found = network.traffic(network.Path("/"))
    after = psutil.net_io_counters(pernic=True)

    for name, counters in found.items():
        assert before[name].bytes_sent <= counters.sent_bytes <= after[name].bytes_sent
        assert before[name].bytes_recv <= counters.received_bytes <= after[name].bytes_recv


def test_traffic_over_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over the whole time, the busiest interval, new drops; idle interfaces are left out."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    speed = {"sys/class/net/eth0/speed": "10000"}
    probe = InterfacesProbe(faketree.plant(tmp_path, {**dev(rx=1000, drop=5), **speed}))
    for at_s, rx, tx in ((1.0, 2000, 500), (2.0, 10_000, 500), (4.0, 10_000, 2000)):
        now[0] = at_s
        faketree.plant(tmp_path, dev(rx=rx, tx=tx, drop=9))
        assert probe.sample(at_s)

    (usage,) = probe.usage()
    assert (usage.name, usage.speed_mbit_per_s, usage.drops) == ("eth0", 10_000, 4)
    assert (usage.received_bytes_per_s, usage.received_bytes_per_s_max) == (2250.0, 8000.0)
    assert (usage.sent_bytes_per_s, usage.sent_bytes_per_s_max) == (500.0, 750.0)


@pytest.mark.parametrize("text", [None, "-1", "0", "garbage"])
def test_link_without_a_speed(tmp_path: Path, text: str | None) -> None:
    """A virtual interface, or one that is down, has no speed."""
    files = {} if text is None else {"sys/class/net/eth0/speed": text}

    assert network.speed_mbit_per_s(faketree.plant(tmp_path, files), "eth0") is None


def test_system_over_a_run(tmp_path: Path) -> None:
    """Counters are differences, a group inside another counts once, clocks are averaged."""
    cpu = min(os.sched_getaffinity(0))
    heat = f"{CPU}/cpu0/thermal_throttle/core_throttle_count"
    quota = "sys/fs/cgroup/{}cpu.stat"
    before = {
        f"{CPU}/online": "0",
        heat: "3",
        "proc/self/cgroup": "0::/a",
        quota.format(""): "throttled_usec 1000000",
        quota.format("a/"): "throttled_usec 0",
        "proc/net/snmp": SNMP.format(1000, 10),
    }
    probe = SystemProbe(faketree.plant(tmp_path, before))
    for khz in (3_000_000, 1_000_000):
        faketree.plant(tmp_path, {CLOCK.format(cpu): str(khz)})
        assert probe.sample(0.0)
    faketree.plant(
        tmp_path,
        {
            heat: "8",
            quota.format(""): "throttled_usec 3000000",
            quota.format("a/"): "throttled_usec 1500000",
            "proc/net/snmp": SNMP.format(1500, 17),
        },
    )
    usage = probe.usage()

    assert (usage.cpu_mhz_min, usage.cpu_mhz_mean) == (1000.0, 2000.0)
    assert usage.thermal_throttles == 5
    assert usage.quota_throttled_s == 2.0
    assert (usage.tcp_segments_sent, usage.tcp_retransmits) == (500, 7)


def test_system_that_tells_nothing(tmp_path: Path) -> None:
    """Without /proc and /sys everything is unknown, and nothing breaks."""
    probe = SystemProbe(tmp_path)
    assert not probe.sample(0.0)
    usage = probe.usage()

    assert {getattr(usage, name) for name in usage.__slots__} == {None}
    assert not InterfacesProbe(tmp_path).sample(0.0)


def test_traffic_of_this_machine_reaches_the_result() -> None:
    """The monitor's host holds the new figures, and a kernel with TCP tells its segments."""
    monitor = Monitor()
    monitor.start()
    host = monitor.stop().host

    assert host is not None
    told = re.search("RetransSegs", network.read_text(network.Path("/proc/net/snmp")) or "")
    assert (host.tcp_retransmits is not None) == bool(told)
    assert host.swap_out_bytes >= 0
