"""The network card that leads to a target: its NUMA node, and where its interrupts are served."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from fastbench import topology
from fastbench.machine import nics

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Address

_NET = "sys/class/net"


def interface_to(address: Address) -> str:
    """Return the interface by which the kernel would reach ``address``; empty where unknown.

    Nothing is sent. Empty also for unix sockets, and for this machine's own addresses.
    """
    if isinstance(address, str):
        return ""
    own = _source(address)
    if own in {"", address[0]} or own.startswith("127."):
        return ""
    import psutil

    names = (
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(own == a.address.partition("%")[0] for a in addresses)
    )
    return next(names, "")


def numa_node(name: str, root: Path = topology.ROOT) -> int | None:
    """Return the node that the card of an interface is attached to; None where it has none."""
    nodes = (nics.numa_node(card) for card in _cards(name, root))
    return next((node for node in nodes if node is not None), None)


def interrupts(name: str, root: Path = topology.ROOT) -> dict[str, list[int]]:
    """Return the CPUs that serve each interrupt of an interface; empty where not told."""
    found = (nics.interrupts(root, card) for card in _cards(name, root))
    return {irq: cpus for card in found for irq, cpus in card.items()}


def _source(address: tuple[str, int]) -> str:
    """Return the own address from which packets to ``address`` would come."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""


def _cards(name: str, root: Path) -> list[Path]:
    """Return the devices of an interface: its own, or those below a bond, a bridge or a VLAN."""
    folder = root / _NET / name
    if (folder / "device").exists():
        return [folder / "device"]
    below = sorted(link.name.removeprefix("lower_") for link in folder.glob("lower_*"))
    return [card for lower in below if lower != name for card in _cards(lower, root)]
