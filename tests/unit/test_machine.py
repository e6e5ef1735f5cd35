"""The parts of the platform, each from a tree that stands for a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import faketree

from fastbench import _engine
from fastbench.machine import cpu, kernel, limits, nics, software

CPUS = "sys/devices/system/cpu"


def test_the_build_is_that_of_the_extension() -> None:
    """The compiler named is the one that left its mark in the extension module."""
    found = software.build()
    version = found["compiler"].split()[-1]

    assert version.encode() in Path(_engine.__file__).read_bytes()
    assert found["tls"]


def test_cpus_of_a_server(tmp_path: Path) -> None:
    """Model, sockets, siblings, nodes, clocks, idle states and mitigations are the files'."""
    idle = f"{CPUS}/cpu0/cpuidle"
    root = faketree.plant(
        tmp_path,
        {
            **faketree.cpus(sockets=2, cores=1, threads=2),
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example 9000\nmicrocode\t: 0x2b\n",
            f"{CPUS}/cpu0/cpufreq/scaling_governor": "powersave",
            f"{CPUS}/cpu1/cpufreq/scaling_governor": "performance",
            f"{CPUS}/cpu0/cpufreq/scaling_driver": "intel_pstate",
            f"{CPUS}/cpu0/cpufreq/cpuinfo_max_freq": "3500000",
            f"{CPUS}/intel_pstate/no_turbo": "0",
            f"{idle}/state0/name": "POLL",
            f"{idle}/state0/latency": "0",
            f"{idle}/state10/name": "C6",
            f"{idle}/state10/latency": "133",
            f"{idle}/state10/disable": "1",
            f"{idle}/state2/name": "C1",
            f"{idle}/state2/latency": "2",
            f"{CPUS}/vulnerabilities/meltdown": "Not affected",
            f"{CPUS}/vulnerabilities/spectre_v2": "Mitigation: Enhanced IBRS",
            f"{CPUS}/vulnerabilities/mds": "Vulnerable",
        },
    )

    about = cpu.describe(root)

    assert about["cpu_model"] == "Example 9000"
    assert about["cpu_microcode"] == "0x2b"
    assert about["cpu_sockets"] == about["numa_nodes"] == 2
    assert about["cpu_smt_siblings"] == ["0,2", "1,3"]
    assert about["numa_cpus"] == {"0": "0,2", "1": "1,3"}
    assert about["cpu_governor"] == "performance, powersave"
    assert about["cpu_frequency_driver"] == "intel_pstate"
    assert about["cpu_max_mhz"] == 3500
    assert about["cpu_boost"] is True
    assert about["cpu_idle_states"] == [
        {"name": "POLL", "exit_latency_us": 0, "disabled": False},
        {"name": "C1", "exit_latency_us": 2, "disabled": False},
        {"name": "C6", "exit_latency_us": 133, "disabled": True},
    ]
    assert about["cpu_mitigations"] == {"spectre_v2": "Mitigation: Enhanced IBRS"}


@pytest.mark.parametrize(
    ("file", "text", "boost"),
    [
        ("intel_pstate/no_turbo", "1", False),
        ("intel_pstate/no_turbo", "0", True),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
        ("cpufreq/boost", "?", None),
    ],
)
def test_boost(tmp_path: Path, file: str, text: str, boost: bool | None) -> None:
    """Intel's driver and the others say it in opposite ways."""
    assert cpu.boost(faketree.plant(tmp_path, {f"{CPUS}/{file}": text})) is boost


def test_kernel_of_a_virtual_machine(tmp_path: Path) -> None:
    """Hypervisor, steal, clock, memory and TCP are the files'; secrets of the boot line are not."""
    clock = "sys/devices/system/clocksource/clocksource0"
    root = faketree.plant(
        tmp_path,
        {
            "proc/cpuinfo": "flags\t\t: fpu tsc hypervisor lahf_lm",
            "sys/class/dmi/id/sys_vendor": "QEMU",
            "proc/stat": "cpu  50 0 20 10 0 0 0 20 30 0\ncpu0 1 1 1 1",
            "proc/cmdline": "root=/dev/vda password=secret isolcpus=2-3 nohz_full=2-3 quiet",
            f"{clock}/current_clocksource": "hpet",
            f"{clock}/available_clocksource": "hpet acpi_pm ",
            "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
            "proc/meminfo": "MemTotal: 9 kB\nSwapTotal:     2048 kB\nSwapFree:      1024 kB",
            "proc/sys/vm/swappiness": "60",
            "proc/sys/net/ipv4/tcp_congestion_control": "cubic",
            "proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456",
            "proc/sys/net/core/somaxconn": "4096",
            "proc/1/comm": "systemd",
            "proc/77/comm": "irqbalance",
        },
    )

    about = kernel.describe(root)

    assert about["hypervisor"] == "QEMU"
    assert about["steal_percent_since_boot"] == 20.0
    assert about["kernel_parameters"] == ["isolcpus=2-3", "nohz_full=2-3"]
    assert about["clocksource"] == "hpet"
    assert about["clocksources_available"] == ["hpet", "acpi_pm"]
    assert about["transparent_hugepages"] == "always"
    assert about["swap_used_bytes"] == 2**20
    assert about["swappiness"] == 60
    assert about["tcp_rmem_bytes"] == [4096, 131072, 6291456]
    assert about["irqbalance"] is True
    assert about["kernel_tls"] is None


def test_bare_metal_has_no_hypervisor(tmp_path: Path) -> None:
    """The maker of the board is no hypervisor where the CPU does not say that it is virtual."""
    root = faketree.plant(
        tmp_path, {"proc/cpuinfo": "flags\t: fpu tsc", "sys/class/dmi/id/sys_vendor": "Maker"}
    )

    assert kernel.hypervisor(root) is None
    assert kernel.is_running(root, "irqbalance") is None
    faketree.plant(root, {"proc/1/comm": "init"})
    assert kernel.is_running(root, "irqbalance") is None  # as in a container
    faketree.plant(root, {"proc/2/comm": "kthreadd"})
    assert kernel.is_running(root, "irqbalance") is False


def test_nics(tmp_path: Path) -> None:
    """Driver, speed, queues, node and the CPUs of its interrupts; one that is down is left out."""
    eth = "sys/class/net/eth0"
    root = faketree.plant(
        tmp_path,
        {
            f"{eth}/operstate": "up",
            f"{eth}/mtu": "1500",
            f"{eth}/speed": "25000",
            f"{eth}/queues/rx-0/rps_cpus": "0",
            f"{eth}/queues/rx-1/rps_cpus": "0",
            f"{eth}/queues/tx-0/xps_cpus": "0",
            f"{eth}/device/numa_node": "0",
            f"{eth}/device/msi_irqs/40": "msix",
            f"{eth}/device/msi_irqs/41": "msix",
            "drivers/ice/x": "",
            "proc/irq/40/effective_affinity_list": "3",
            "proc/irq/41/smp_affinity_list": "5-6",
            "sys/class/net/eth1/operstate": "down",
            "sys/class/net/lo/operstate": "unknown",
            "sys/class/net/lo/mtu": "65536",
        },
    )
    (root / eth / "device" / "driver").symlink_to(root / "drivers" / "ice")

    assert nics.describe(root)["nics"] == [
        {
            "name": "eth0",
            "driver": "ice",
            "speed_mbit_per_s": 25_000,
            "mtu_bytes": 1500,
            "receive_queues": 2,
            "send_queues": 1,
            "numa_node": 0,
            "irq_cpus": "3,5-6",
        },
        {"name": "lo", "mtu_bytes": 65_536, "receive_queues": 0, "send_queues": 0},
    ]


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "garbage"}, None),
        ({}, None),
    ],
)
def test_cpu_limit_of_a_container(
    tmp_path: Path, files: dict[str, str], cpus: float | None
) -> None:
    """Both generations of cgroups are read; without a quota there is no limit."""
    root = faketree.plant(tmp_path, {f"sys/fs/cgroup/{n}": text for n, text in files.items()})

    assert limits.cpu_limit(root) == cpus


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "1048576"}, 2**20),
        ({"memory.max": "max"}, None),
        ({"memory/memory.limit_in_bytes": "2097152"}, 2**21),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_memory_limit_of_a_container(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    """Both generations; what is more than the machine has is no limit."""
    root = faketree.plant(tmp_path, {f"sys/fs/cgroup/{n}": text for n, text in files.items()})

    assert limits.memory_limit_bytes(root) == limit


def test_nothing_is_there(tmp_path: Path) -> None:
    """An empty root raises nothing and claims nothing."""
    for part in (cpu, kernel, nics):
        known = {key: v for key, v in part.describe(tmp_path).items() if v not in (None, [], {})}
        assert known == {}
