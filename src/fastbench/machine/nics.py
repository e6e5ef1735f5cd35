"""The network interfaces: driver, speed, queues, and which CPUs their interrupts go to.

Sources: the kernel's Documentation/ABI/testing/sysfs-class-net, sysfs-class-net-queues,
sysfs-bus-pci (``msi_irqs``) and Documentation/core-api/irq/irq-affinity.rst.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastbench import topology
from fastbench.monitor.files import read_number, read_text
from fastbench.monitor.network import speed_mbit_per_s

if TYPE_CHECKING:
    from pathlib import Path

_NET = "sys/class/net"


def describe(root: Path) -> dict[str, Any]:
    """Return ``nics``: one entry for each interface that is up, loopback too."""
    folders = sorted((root / _NET).glob("*"))
    return {"nics": [_nic(root, f) for f in folders if read_text(f / "operstate") != "down"]}


def _nic(root: Path, folder: Path) -> dict[str, Any]:
    device = folder / "device"
    found = {
        "name": folder.name,
        "driver": _driver(device),
        "speed_mbit_per_s": speed_mbit_per_s(root, folder.name),
        "mtu_bytes": read_number(folder / "mtu"),
        "receive_queues": len(list((folder / "queues").glob("rx-*"))),
        "send_queues": len(list((folder / "queues").glob("tx-*"))),
        "numa_node": numa_node(device),
        "irq_cpus": topology.format_list(irq_cpus(root, device)),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def irq_cpus(root: Path, device: Path) -> list[int]:
    """Return the CPUs that serve the interrupts of a device, ascending; empty where not told."""
    return sorted({cpu for cpus in interrupts(root, device).values() for cpu in cpus})


def interrupts(root: Path, device: Path) -> dict[str, list[int]]:
    """Return the CPUs that serve each interrupt of a device; empty where not told."""
    found = {}
    for irq in _irqs(device):
        folder = root / "proc/irq" / irq
        text = read_text(folder / "effective_affinity_list") or read_text(
            folder / "smp_affinity_list"
        )
        with contextlib.suppress(ValueError):
            found[irq] = topology.parse_list(text or "")
    return found


def numa_node(device: Path) -> int | None:
    """Return the NUMA node of a device, or of that below which it hangs; None where not told."""
    for folder in (device, device / ".."):
        node = read_number(folder / "numa_node")
        if node is not None and node >= 0:
            return node
    return None


def _irqs(device: Path) -> list[str]:
    """Return the interrupts of a PCI device; a virtio device hangs below one."""
    for folder in (device / "msi_irqs", device / ".." / "msi_irqs"):
        if numbers := sorted(file.name for file in folder.glob("[0-9]*")):
            return numbers
    return []


def _driver(device: Path) -> str | None:
    link = device / "driver"
    return link.resolve().name if link.exists() else None
