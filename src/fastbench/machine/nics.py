"""The network interfaces: driver, speed, queues, and which CPUs their interrupts go to.

Sources: the kernel's Documentation/ABI/testing/sysfs-class-net, sysfs-class-net-queues,
sysfs-bus-pci (``msi_irqs``) and Documentation/core-api/irq/irq-affinity.rst.
"""

from __future__ import annotations

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
        "numa_node": _node(device),
        "irq_cpus": topology.format_list(irq_cpus(root, device)),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def irq_cpus(root: Path, device: Path) -> list[int]:
    """Return the CPUs that serve the interrupts of a device, ascending; empty where not told."""
    cpus: set[int] = set()
    for irq in _irqs(device):
        folder = root / "proc/irq" / irq
        text = read_text(folder / "effective_affinity_list") or read_text(
            folder / "smp_affinity_list"
        )
        try:
            cpus.update(topology.parse_list(text or ""))
        except ValueError:
            continue
    return sorted(cpus)


def _irqs(device: Path) -> list[str]:
    """Return the interrupts of a PCI device; a virtio device hangs below one."""
    for folder in (device / "msi_irqs", device / ".." / "msi_irqs"):
        if numbers := sorted(file.name for file in folder.glob("[0-9]*")):
            return numbers
    return []


def _driver(device: Path) -> str | None:
    link = device / "driver"
    return link.resolve().name if link.exists() else None


def _node(device: Path) -> int | None:
    for folder in (device, device / ".."):
        node = read_number(folder / "numa_node")
        if node is not None and node >= 0:
            return node
    return None
