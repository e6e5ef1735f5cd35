"""What a machine should have otherwise for measurements to publish: findings with their fixes.

A rule takes the platform as :func:`fastbench.platform_info.describe` gives it and yields its
findings; adding one is a function and a line in ``RULES``. A rule says nothing about what the
platform does not tell: those are listed by :func:`unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fastbench import topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCTOR_SCHEMA_VERSION = 1
SEVERITIES = ("high", "medium", "low", "info")

STEAL_PERCENT = 1.0
SLOW_WAKE_US = 20  # exit latency of an idle state that shows beside a reply of 100 us
FEW_CPUS = 4
FEW_FILES = 65_536
FAST_LINK_MBIT_PER_S = 10_000
ETHERNET_MTU = 1500
SHORT_BACKLOG = 1024
GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")

#: What is looked for on every machine; where it is missing nothing can be said about it.
LOOKED_FOR = (
    *("cpu_governor", "cpu_boost", "cpu_idle_states", "clocksource"),
    *("transparent_hugepages", "swap_used_bytes", "steal_percent_since_boot", "irqbalance", "nics"),
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to change: what is, why it matters, the command that fixes it, what that gains."""

    code: str
    severity: str  # high | medium | low | info
    what: str
    why: str
    fix: str
    gain: str


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``fastbench doctor --format json`` prints."""

    schema_version: int
    platform: dict[str, Any]
    findings: list[Finding]
    unknown: list[str]  # keys of the platform that this machine does not tell


def examine(platform: dict[str, Any]) -> Checkup:
    """Return the findings on ``platform``, the gravest first."""
    findings = [finding for rule in RULES for finding in rule(platform)]
    return Checkup(
        schema_version=DOCTOR_SCHEMA_VERSION,
        platform=platform,
        findings=sorted(findings, key=lambda f: SEVERITIES.index(f.severity)),
        unknown=unknown(platform),
    )


def unknown(platform: dict[str, Any]) -> list[str]:
    """Return what this machine does not tell, so that silence is not taken for health."""
    return [key for key in LOOKED_FOR if key not in platform]


def _governor(platform: dict[str, Any]) -> Iterator[Finding]:
    governor = platform.get("cpu_governor")
    if governor and governor != "performance":
        yield Finding(
            code="governor",
            severity="high",
            what=f"the CPU frequency governor is {governor}",
            why="clocks fall between requests, so that a lightly loaded client is slow to answer",
            fix="sudo cpupower frequency-set -g performance",
            gain="shorter and steadier latencies at low load",
        )


def _boost(platform: dict[str, Any]) -> Iterator[Finding]:
    if platform.get("cpu_boost"):
        intel = str(platform.get("cpu_frequency_driver", "")).startswith("intel")
        yield Finding(
            code="boost",
            severity="low",
            what="the CPU may run above its nominal clock (turbo, boost)",
            why="how far depends on heat and on how many cores work: runs differ by some percent",
            fix="echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
            if intel
            else "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
            gain="repetitions that agree better, at a lower speed",
        )


def _idle_states(platform: dict[str, Any]) -> Iterator[Finding]:
    states = [s for s in platform.get("cpu_idle_states", []) if not s["disabled"]]
    slow = [s for s in states if s["exit_latency_us"] > SLOW_WAKE_US]
    if slow:
        deepest = max(slow, key=lambda s: s["exit_latency_us"])
        yield Finding(
            code="idle-states",
            severity="medium",
            what=f"idle CPUs sleep as deep as {deepest['name']}, "
            f"{deepest['exit_latency_us']} us to wake up",
            why="a reply that finds its CPU asleep waits that long before it is read",
            fix=f"sudo cpupower idle-set -D {SLOW_WAKE_US}",
            gain=f"up to {deepest['exit_latency_us']} us off a reply at low load",
        )


def _smt(platform: dict[str, Any]) -> Iterator[Finding]:
    allowed = set(platform.get("cpus_allowed", []))
    groups = [topology.parse_list(text) for text in platform.get("cpu_smt_siblings", [])]
    shared = [sorted(allowed & set(group)) for group in groups]
    shared = [group for group in shared if len(group) > 1]
    if shared:
        spare = {cpu for group in shared for cpu in group[1:]}
        one_each = topology.format_list(sorted(allowed - spare))
        names = ", ".join("+".join(map(str, group)) for group in shared[:4])
        more = "" if len(shared) <= len(names.split(", ")) else " and others"
        yield Finding(
            code="smt",
            severity="medium",
            what=f"CPUs {names}{more} share a physical core each",
            why="two busy threads on one core run at little more than the speed of one",
            fix=f"fastbench run --cpus {one_each} (one of each core), or "
            "echo off | sudo tee /sys/devices/system/cpu/smt/control",
            gain="threads that do not slow each other down",
        )


def _clocksource(platform: dict[str, Any]) -> Iterator[Finding]:
    clock = platform.get("clocksource")
    if clock and clock not in GOOD_CLOCKS:
        yield Finding(
            code="clocksource",
            severity="high",
            what=f"the clock is {clock}",
            why="reading it is a system call of a microsecond or more, several for each inference",
            fix="echo tsc | sudo tee "
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            gain="less CPU time for each inference",
        )


def _hypervisor(platform: dict[str, Any]) -> Iterator[Finding]:
    steal = platform.get("steal_percent_since_boot")
    others = "" if steal is None else f"; others had {steal:g} % of its CPU time since boot"
    if platform.get("hypervisor"):
        yield Finding(
            code="virtual-machine",
            severity="high" if (steal or 0.0) > STEAL_PERCENT else "info",
            what=f"a virtual machine ({platform['hypervisor']}){others}",
            why="the host may stop its CPUs at any moment, and timers and interrupts cost more",
            fix="use bare metal, or CPUs that are dedicated to this machine",
            gain="tails that are the server's own",
        )


def _quota(platform: dict[str, Any]) -> Iterator[Finding]:
    limit, allowed = platform.get("cpu_limit"), len(platform.get("cpus_allowed", []))
    if limit and limit < allowed:
        yield Finding(
            code="cpu-quota",
            severity="high",
            what=f"the container may use {limit:g} CPUs' worth of time on {allowed} CPUs",
            why="when the quota is used up every thread stops until the next period, up to 100 ms",
            fix="give it whole CPUs instead: docker run --cpuset-cpus 2-5 (no --cpus)",
            gain="no pauses of tens of milliseconds under load",
        )


def _few_cpus(platform: dict[str, Any]) -> Iterator[Finding]:
    allowed = len(platform.get("cpus_allowed", []))
    if 0 < allowed < FEW_CPUS:
        yield Finding(
            code="few-cpus",
            severity="medium",
            what=f"{allowed} CPUs may be used",
            why="a server on the same machine takes them from the client",
            fix="run the server elsewhere, or use a machine with more cores",
            gain="a client that is not in the server's way",
        )


def _nofile(platform: dict[str, Any]) -> Iterator[Finding]:
    hard = platform.get("ulimits", {}).get("nofile", [None, None])[1]
    if hard is not None and hard < FEW_FILES:
        yield Finding(
            code="nofile",
            severity="low",
            what=f"a process may open {hard:,} files",
            why="each connection is one; fastbench raises the soft limit itself, not this one",
            fix=f"ulimit -Hn {FEW_FILES * 16} as root, or LimitNOFILE= in the unit, or "
            "docker run --ulimit nofile=1048576",
            gain="runs with more connections",
        )


def _irqbalance(platform: dict[str, Any]) -> Iterator[Finding]:
    if platform.get("irqbalance"):
        yield Finding(
            code="irqbalance",
            severity="medium",
            what="irqbalance is running",
            why="it moves the network's interrupts between CPUs in the middle of a run",
            fix="sudo systemctl stop irqbalance",
            gain="interrupts that stay where they were put",
        )


def _nic_irqs(platform: dict[str, Any]) -> Iterator[Finding]:
    allowed = set(platform.get("cpus_allowed", []))
    for nic in platform.get("nics", []):
        shared = sorted(allowed & set(topology.parse_list(nic.get("irq_cpus") or "999999")))
        if shared:
            rest = topology.format_list(sorted(allowed - set(shared)))
            yield Finding(
                code="nic-irqs",
                severity="low",
                what=f"interrupts of {nic['name']} go to CPUs {topology.format_list(shared)}, "
                "which the client may use",
                why="a thread pinned there is interrupted for every packet, its neighbours are not",
                fix=f"fastbench run --cpus {rest}"
                if rest
                else "use a machine with more cores, or move them: "
                "echo CPU | sudo tee /proc/irq/N/smp_affinity_list",
                gain="threads that are all alike",
            )


def _numa(platform: dict[str, Any]) -> Iterator[Finding]:
    allowed = set(platform.get("cpus_allowed", []))
    nodes = platform.get("numa_cpus", {})
    for nic in platform.get("nics", []):
        near = nodes.get(str(nic.get("numa_node")))
        if len(nodes) > 1 and near and not allowed <= set(topology.parse_list(near)):
            yield Finding(
                code="numa",
                severity="medium",
                what=f"{nic['name']} is at NUMA node {nic['numa_node']} (CPUs {near}), the client "
                "may use others too",
                why="every packet to a CPU of another node crosses the link between the sockets",
                fix=f"fastbench run --cpus {near}",
                gain="shorter round trips, and no traffic between the sockets",
            )


def _mtu(platform: dict[str, Any]) -> Iterator[Finding]:
    for nic in platform.get("nics", []):
        fast = (nic.get("speed_mbit_per_s") or 0) >= FAST_LINK_MBIT_PER_S
        if fast and nic.get("mtu_bytes", ETHERNET_MTU + 1) <= ETHERNET_MTU:
            yield Finding(
                code="mtu",
                severity="low",
                what=f"{nic['name']} has {nic['speed_mbit_per_s']:,} Mbit/s and an MTU of "
                f"{nic['mtu_bytes']}",
                why="a tensor of 600 KB is 400 packets instead of 70",
                fix=f"sudo ip link set {nic['name']} mtu 9000 (both ends and the switch)",
                gain="less CPU time for each tensor",
            )


def _congestion(platform: dict[str, Any]) -> Iterator[Finding]:
    if platform.get("tcp_congestion_control") == "bbr":
        yield Finding(
            code="congestion-control",
            severity="info",
            what="TCP's congestion control is bbr",
            why="it paces what is sent, also on loopback; fastbench sets reno for its own sockets "
            "to this machine, a server sends its replies by bbr",
            fix="sudo sysctl -w net.ipv4.tcp_congestion_control=cubic",
            gain="replies on loopback and in a rack that are not spaced out",
        )


def _hugepages(platform: dict[str, Any]) -> Iterator[Finding]:
    if platform.get("transparent_hugepages") == "always":
        yield Finding(
            code="hugepages",
            severity="low",
            what="transparent huge pages are always on",
            why="the kernel compacts memory while a server runs, and a fork of Redis copies 2 MiB "
            "for a byte that changed",
            fix="echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
            gain="fewer pauses of milliseconds in the tail",
        )


def _swap(platform: dict[str, Any]) -> Iterator[Finding]:
    used = platform.get("swap_used_bytes") or 0
    if used > 0:
        yield Finding(
            code="swap",
            severity="medium",
            what=f"{used / 2**20:,.0f} MiB are swapped out",
            why="what is needed again is read from disk while an inference waits",
            fix="sudo swapoff -a (with enough memory free)",
            gain="no waits for the disk",
        )


def _kernel(platform: dict[str, Any]) -> Iterator[Finding]:
    numbers = [int(n) for n in str(platform.get("kernel", "")).split(".")[:2] if n.isdecimal()]
    if len(numbers) > 1 and numbers < [5, 11]:
        yield Finding(
            code="kernel",
            severity="low",
            what=f"the kernel is {platform['kernel']}",
            why="before 5.11 there is no epoll_pwait2: a thread needs two system calls to sleep "
            "until the next inference is due, ppoll and epoll_wait",
            fix="use a kernel from 5.11 on",
            gain="one system call less each time that a thread sleeps",
        )


def _mitigations(platform: dict[str, Any]) -> Iterator[Finding]:
    guarded = platform.get("cpu_mitigations", {})
    if guarded:
        yield Finding(
            code="mitigations",
            severity="info",
            what=f"the kernel guards against {len(guarded)} flaws of the CPU: "
            + ", ".join(sorted(guarded)),
            why="each makes system calls or switches between threads dearer",
            fix="leave them on and say so; mitigations=off on the kernel's command line only where "
            "no foreign code can run",
            gain="cheaper system calls, at the price of safety",
        )


def _backlog(platform: dict[str, Any]) -> Iterator[Finding]:
    backlog = platform.get("somaxconn")
    if backlog is not None and backlog < SHORT_BACKLOG:
        yield Finding(
            code="somaxconn",
            severity="low",
            what=f"a listener here holds {backlog} connections that wait to be accepted",
            why="a server on this machine loses connections that are opened all at once",
            fix="sudo sysctl -w net.core.somaxconn=4096",
            gain="connections that stand at the first try",
        )


RULES: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    _governor,
    _clocksource,
    _quota,
    _hypervisor,
    _idle_states,
    _smt,
    _numa,
    _irqbalance,
    _few_cpus,
    _swap,
    _kernel,
    _nic_irqs,
    _boost,
    _mtu,
    _hugepages,
    _nofile,
    _backlog,
    _congestion,
    _mitigations,
)
