"""The kernel and what was decided about it: parameters, clock, memory, TCP, hypervisor.

Sources: the kernel's Documentation/admin-guide/kernel-parameters.rst, admin-guide/mm/transhuge.rst,
admin-guide/sysctl/ and networking/ip-sysctl.rst; proc(5) for /proc/stat and /proc/meminfo.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fastbench.machine.cpu import cpuinfo
from fastbench.monitor.files import number, read_number, read_text

if TYPE_CHECKING:
    from pathlib import Path

#: Kernel parameters that change latencies; others may hold secrets and are nobody's business.
PARAMETERS = (
    *("isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity", "mitigations", "nosmt", "idle"),
    *("intel_idle.max_cstate", "processor.max_cstate", "intel_pstate", "amd_pstate", "cpuidle.off"),
    *("clocksource", "tsc", "transparent_hugepage", "hugepages", "default_hugepagesz"),
    *("preempt", "threadirqs", "nosoftlockup", "nmi_watchdog", "iommu", "intel_iommu", "amd_iommu"),
)

_CLOCK = "sys/devices/system/clocksource/clocksource0"
_STEAL = 7  # the column of /proc/stat, after the name
_GUESTS = 8  # from here on columns are in others already


def describe(root: Path) -> dict[str, Any]:
    """Return what is known of the kernel below ``root``."""
    net, vm = root / "proc/sys/net", root / "proc/sys/vm"
    return {
        "kernel_parameters": parameters(root),
        "hypervisor": hypervisor(root),
        "steal_percent_since_boot": steal_percent(root),
        "clocksource": read_text(root / _CLOCK / "current_clocksource"),
        "clocksources_available": (
            read_text(root / _CLOCK / "available_clocksource") or ""
        ).split(),
        "transparent_hugepages": _chosen(root / "sys/kernel/mm/transparent_hugepage/enabled"),
        "swappiness": read_number(vm / "swappiness"),
        "swap_used_bytes": swap_used_bytes(root),
        "tcp_congestion_control": read_text(net / "ipv4/tcp_congestion_control"),
        "default_qdisc": read_text(net / "core/default_qdisc"),
        "somaxconn": read_number(net / "core/somaxconn"),
        "rmem_max_bytes": read_number(net / "core/rmem_max"),
        "wmem_max_bytes": read_number(net / "core/wmem_max"),
        "tcp_rmem_bytes": _numbers(net / "ipv4/tcp_rmem"),
        "tcp_wmem_bytes": _numbers(net / "ipv4/tcp_wmem"),
        "kernel_tls": (root / "proc/net/tls_stat").exists() or None,
        "irqbalance": is_running(root, "irqbalance"),
    }


def parameters(root: Path) -> list[str]:
    """Return those words of the kernel's command line that are in ``PARAMETERS``."""
    words = (read_text(root / "proc/cmdline") or "").split()
    return [word for word in words if word.partition("=")[0] in PARAMETERS]


def hypervisor(root: Path) -> str | None:
    """Return the hypervisor's name, ``unknown`` where only the CPU tells; None on bare metal."""
    if "hypervisor" not in (cpuinfo(root, "flags") or "").split():
        return None
    named = read_text(root / "sys/hypervisor/type")
    maker = read_text(root / "sys/class/dmi/id/sys_vendor")
    return named or maker or "unknown"


def steal_percent(root: Path) -> float | None:
    """Return the share of CPU time since boot that the hypervisor gave to others."""
    line = (read_text(root / "proc/stat") or "").partition("\n")[0].split()
    ticks = [number(word) or 0 for word in line[1:]][:_GUESTS]
    if line[:1] != ["cpu"] or len(ticks) <= _STEAL or not sum(ticks):
        return None
    return round(100 * ticks[_STEAL] / sum(ticks), 3)


def swap_used_bytes(root: Path) -> int | None:
    """Return the memory that is swapped out."""
    text = read_text(root / "proc/meminfo") or ""
    kib = dict(re.findall(r"^(Swap\w+): *(\d+) kB$", text, re.MULTILINE))
    if not {"SwapTotal", "SwapFree"} <= kib.keys():
        return None
    return 1024 * (int(kib["SwapTotal"]) - int(kib["SwapFree"]))


def is_running(root: Path, program: str) -> bool | None:
    """Tell whether a process of that name runs; None where not all processes can be seen.

    In a container that is so: the kernel's own thread 2, kthreadd, is then out of sight.
    """
    names = [read_text(file) for file in (root / "proc").glob("[0-9]*/comm")]
    if program in names:
        return True
    return False if "kthreadd" in names else None


def _chosen(file: Path) -> str | None:
    """Return the word in brackets: ``always [madvise] never``."""
    found = re.search(r"\[(\w+)\]", read_text(file) or "")
    return found[1] if found else None


def _numbers(file: Path) -> list[int]:
    return [n for word in (read_text(file) or "").split() if (n := number(word)) is not None]
