"""The advice: each rule speaks where it should, and is silent on a machine that is well kept."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from support import faketree

from fastbench import platform_info, versioned
from fastbench.doctor import LOOKED_FOR, RULES, SEVERITIES, examine
from fastbench.report.doctor import render

if TYPE_CHECKING:
    from pathlib import Path

#: A machine as a lab should have it.
GOOD: dict[str, Any] = {
    "cpus_allowed": [0, 1, 2, 3, 4, 5, 6, 7],
    "cpu_governor": "performance",
    "cpu_frequency_driver": "acpi-cpufreq",
    "cpu_boost": False,
    "cpu_idle_states": [
        {"name": "POLL", "exit_latency_us": 0, "disabled": False},
        {"name": "C6", "exit_latency_us": 133, "disabled": True},
    ],
    "cpu_smt_siblings": ["0,8", "1,9"],
    "cpu_mitigations": {},
    "numa_cpus": {"0": "0-7", "1": "8-15"},
    "clocksource": "tsc",
    "kernel": "6.1.0-18-amd64",
    "steal_percent_since_boot": 0.0,
    "transparent_hugepages": "madvise",
    "swap_used_bytes": 0,
    "somaxconn": 4096,
    "tcp_congestion_control": "cubic",
    "irqbalance": False,
    "ulimits": {"nofile": [1024, 1048576]},
    "nics": [
        {
            "name": "eth0",
            "speed_mbit_per_s": 25000,
            "mtu_bytes": 9000,
            "numa_node": 0,
            "irq_cpus": "8-9",
        },
        {"name": "lo", "mtu_bytes": 65536},
    ],
}

NIC = GOOD["nics"][0]

#: What makes each rule speak: the change to GOOD, the severity, a word of its fix.
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "governor": ({"cpu_governor": "performance, powersave"}, "high", "frequency-set"),
    "clocksource": ({"clocksource": "acpi_pm"}, "high", "current_clocksource"),
    "cpu-quota": ({"cpu_limit": 2.5}, "high", "--cpuset-cpus"),
    "virtual-machine": (
        {"hypervisor": "KVM", "steal_percent_since_boot": 4.2},
        "high",
        "bare metal",
    ),
    "idle-states": (
        {"cpu_idle_states": [{"name": "C6", "exit_latency_us": 133, "disabled": False}]},
        "medium",
        "idle-set",
    ),
    "smt": ({"cpu_smt_siblings": ["0,4", "1,5", "2,6", "3,7"]}, "medium", "--cpus 0-3"),
    "numa": ({"nics": [{**NIC, "numa_node": 1}]}, "medium", "--cpus 8-15"),
    "irqbalance": ({"irqbalance": True}, "medium", "systemctl"),
    "few-cpus": ({"cpus_allowed": [0, 1]}, "medium", "elsewhere"),
    "swap": ({"swap_used_bytes": 2**30}, "medium", "swapoff"),
    "kernel": ({"kernel": "5.10.0-28-amd64"}, "low", "5.11"),
    "nic-irqs": ({"nics": [{**NIC, "irq_cpus": "6-9"}]}, "low", "--cpus 0-5"),
    "boost": ({"cpu_boost": True}, "low", "cpufreq/boost"),
    "mtu": ({"nics": [{**NIC, "mtu_bytes": 1500}]}, "low", "mtu 9000"),
    "hugepages": ({"transparent_hugepages": "always"}, "low", "madvise"),
    "nofile": ({"ulimits": {"nofile": [1024, 4096]}}, "low", "ulimit"),
    "somaxconn": ({"somaxconn": 128}, "low", "somaxconn"),
    "congestion-control": ({"tcp_congestion_control": "bbr"}, "info", "cubic"),
    "mitigations": ({"cpu_mitigations": {"retbleed": "Mitigation: x"}}, "info", "leave them on"),
}


def test_good_machine_needs_nothing() -> None:
    """A machine that is as it should be gets no advice, and nothing is unknown of it."""
    checkup = examine(GOOD)

    assert checkup.findings == []
    assert checkup.unknown == []
    assert "nothing to change" in render(checkup)


def test_every_rule_has_a_bad_machine() -> None:
    """No rule goes without a test of what makes it speak."""
    assert len(BAD) == len(RULES)


@pytest.mark.parametrize("code", BAD)
def test_rule_speaks(code: str) -> None:
    """On a machine with this one fault there is this one finding, whole and with its fix."""
    change, severity, fix = BAD[code]

    findings = examine(GOOD | change).findings

    assert [f.code for f in findings] == [code]
    assert findings[0].severity == severity
    assert fix in findings[0].fix
    assert all(vars_of(findings[0]).values())


def vars_of(finding: object) -> dict[str, str]:
    """Return the fields of a finding."""
    return {name: getattr(finding, name) for name in ("what", "why", "fix", "gain")}


def test_gravest_first() -> None:
    """All faults at once: in order of severity."""
    everything: dict[str, Any] = {}
    for change, _, _ in BAD.values():
        everything |= change

    order = [SEVERITIES.index(f.severity) for f in examine(GOOD | everything).findings]

    assert len(order) > 10
    assert order == sorted(order)


def test_idle_virtual_machine_is_only_a_remark() -> None:
    """Without stolen time it is said, not blamed."""
    findings = examine(GOOD | {"hypervisor": "KVM"}).findings

    assert [(f.code, f.severity) for f in findings] == [("virtual-machine", "info")]


def test_turbo_of_intel_has_its_own_switch() -> None:
    """The file differs by driver."""
    finding = examine(GOOD | {"cpu_boost": True, "cpu_frequency_driver": "intel_pstate"}).findings

    assert "no_turbo" in finding[0].fix
    assert shlex.split(finding[0].fix)[0] == "echo"


def test_numbers_are_written_as_numbers() -> None:
    """0 and 1 are not taken for no and yes, nor the other way round."""
    text = render(
        examine({"cpus_allowed": [0, 1], "irqbalance": False, "ulimits": {"nofile": [1, None]}})
    )

    assert "cpus_allowed: 0; 1" in text
    assert "irqbalance: no" in text
    assert "ulimits: nofile 1; unlimited" in text


def test_silence_is_not_health() -> None:
    """A machine that tells nothing gets no advice, but a list of what is not known of it."""
    checkup = examine({})

    assert checkup.findings == []
    assert checkup.unknown == list(LOOKED_FOR)
    assert "not told by this machine: cpu_governor" in render(checkup)


def test_from_files_to_advice(tmp_path: Path) -> None:
    """A tree that stands for a neglected machine: read, judged, written as text and JSON."""
    cpus = "sys/devices/system/cpu"
    root = faketree.plant(
        tmp_path,
        {
            **faketree.cpus(cores=1024, threads=2),
            f"{cpus}/cpu0/cpufreq/scaling_governor": "powersave",
            f"{cpus}/cpufreq/boost": "1",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
            "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
            "proc/9/comm": "irqbalance",
        },
    )

    checkup = examine(platform_info.describe(root))

    codes = {f.code for f in checkup.findings}
    assert {"governor", "boost", "clocksource", "hugepages", "irqbalance"} <= codes
    text = render(checkup)
    assert "[high] governor: the CPU frequency governor is powersave" in text
    assert all(len(line) <= 100 or " " not in line.strip() for line in text.splitlines())
    assert b'"code": "clocksource"' in versioned.to_json(checkup)
