"""The processors: model, cores, clocks, idle states, mitigations.

Sources: the kernel's Documentation/admin-guide/pm/cpufreq.rst, pm/cpuidle.rst, hw-vuln/ and
Documentation/ABI/testing/sysfs-devices-system-cpu.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fastbench import topology
from fastbench.monitor.files import read_number, read_text

if TYPE_CHECKING:
    from pathlib import Path

_CPUS = "sys/devices/system/cpu"


def describe(root: Path) -> dict[str, Any]:
    """Return what is known of the CPUs below ``root``."""
    cpus = topology.read(root)
    sockets = {cpu.socket for cpu in cpus if cpu.socket is not None}
    nodes = topology.numa_nodes(root)
    first = root / _CPUS / "cpu0" / "cpufreq"
    return {
        "cpu_model": cpuinfo(root, "model name"),
        "cpu_microcode": cpuinfo(root, "microcode"),
        "cpu_sockets": len(sockets) or None,
        "cpu_smt_siblings": [topology.format_list(c) for c in _shared(cpus)],
        "numa_nodes": len(nodes) or None,
        "numa_cpus": {str(node): topology.format_list(on) for node, on in nodes.items()},
        "cpu_governor": _of_all(root, "scaling_governor"),
        "cpu_frequency_driver": read_text(first / "scaling_driver"),
        "cpu_min_mhz": _mhz(first / "cpuinfo_min_freq"),
        "cpu_max_mhz": _mhz(first / "cpuinfo_max_freq"),
        "cpu_allowed_max_mhz": _mhz(first / "scaling_max_freq"),
        "cpu_boost": boost(root),
        "cpu_idle_driver": read_text(root / _CPUS / "cpuidle" / "current_driver"),
        "cpu_idle_states": idle_states(root),
        "cpu_mitigations": mitigations(root),
    }


def cpuinfo(root: Path, name: str) -> str | None:
    """Return a field of /proc/cpuinfo, of the first CPU."""
    text = read_text(root / "proc/cpuinfo") or ""
    found = re.search(rf"^{re.escape(name)}\s*: *(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def boost(root: Path) -> bool | None:
    """Tell whether clocks above the nominal one are allowed; None where the kernel does not."""
    no_turbo = read_number(root / _CPUS / "intel_pstate" / "no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    allowed = read_number(root / _CPUS / "cpufreq" / "boost")
    return None if allowed is None else allowed == 1


def idle_states(root: Path) -> list[dict[str, Any]]:
    """Return name, exit latency in microseconds and whether it is off, of CPU 0's idle states."""
    folders = (root / _CPUS / "cpu0" / "cpuidle").glob("state[0-9]*")
    states = []
    for folder in sorted(folders, key=lambda f: int(f.name.removeprefix("state"))):
        name, latency = read_text(folder / "name"), read_number(folder / "latency")
        if name and latency is not None:
            off = read_number(folder / "disable") == 1
            states.append({"name": name, "exit_latency_us": latency, "disabled": off})
    return states


def mitigations(root: Path) -> dict[str, str]:
    """Return what the kernel does against each flaw of the CPU that it guards against."""
    texts = {
        file.name: read_text(file) or ""
        for file in sorted((root / _CPUS / "vulnerabilities").glob("*"))
    }
    return {name: text for name, text in texts.items() if text.startswith("Mitigation")}


def _shared(cpus: tuple[topology.Cpu, ...]) -> list[tuple[int, ...]]:
    return topology.shared_cores(cpus, [cpu.number for cpu in cpus])


def _of_all(root: Path, name: str) -> str | None:
    """Return the value of all CPUs, several where they differ: ``performance, powersave``."""
    files = (root / _CPUS).glob(f"cpu[0-9]*/cpufreq/{name}")
    values = {text for file in files if (text := read_text(file))}
    return ", ".join(sorted(values)) or None


def _mhz(file: Path) -> float | None:
    khz = read_number(file)
    return khz / 1000 if khz else None
