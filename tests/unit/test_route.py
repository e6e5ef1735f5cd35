"""The card that leads to a target: in folders that stand for machines, and on this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import faketree

from fastbench.machine import route

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.plan import Address

CARD = "sys/devices/pci0/0000:01:00.0"


def machine(root: Path, *, device: str = CARD) -> Path:
    """Return a machine with one card, ``eth0``, below the bond ``bond0``."""
    files = {f"{CARD}/numa_node": "1", f"{CARD}/msi_irqs/45": "msix"}
    files |= {"proc/irq/45/effective_affinity_list": "2-3", f"{CARD}/virtio0/features": "0"}
    faketree.plant(root, files)
    net = root / "sys/class/net"
    for name in ("eth0", "bond0", "lo"):
        (net / name).mkdir(parents=True)
    (net / "eth0/device").symlink_to(root / device)
    (net / "bond0/lower_eth0").symlink_to(net / "eth0")
    return root


@pytest.mark.parametrize("name", ["eth0", "bond0"])
def test_card_of_an_interface(tmp_path: Path, name: str) -> None:
    """Node and interrupts, also of the card below a bond."""
    root = machine(tmp_path)

    assert route.numa_node(name, root) == 1
    assert route.interrupts(name, root) == {"45": [2, 3]}


def test_paravirtual_card(tmp_path: Path) -> None:
    """The device of a virtual machine's card sits below the one that has the interrupts."""
    root = machine(tmp_path, device=f"{CARD}/virtio0")

    assert route.interrupts("eth0", root) == {"45": [2, 3]}


@pytest.mark.parametrize("name", ["lo", "no-such", ""])
def test_interface_without_a_card(tmp_path: Path, name: str) -> None:
    """Nothing is known about it, and nothing breaks."""
    root = machine(tmp_path)

    assert route.numa_node(name, root) is None
    assert route.interrupts(name, root) == {}


@pytest.mark.parametrize(
    "address", ["/run/socket", ("127.0.0.1", 6379), ("127.0.0.5", 6379), ("::1", 6379)]
)
def test_this_machine_is_reached_without_a_card(address: Address) -> None:
    """Unix sockets and loopback lead nowhere."""
    assert route.interface_to(address) == ""


def test_interface_of_the_source_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interface is the one that has the address from which the kernel would send."""
    psutil = pytest.importorskip("psutil")
    addresses = psutil.net_if_addrs()
    name, own = next(
        (n, a.address) for n, found in addresses.items() for a in found if a.address == "127.0.0.1"
    )
    monkeypatch.setattr(route, "_source", lambda _: "192.0.2.9")
    assert route.interface_to(("192.0.2.1", 80)) == ""

    entry = addresses[name][0]._replace(address="192.0.2.9%eth7")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth7": [entry]})
    assert own
    assert route.interface_to(("192.0.2.1", 80)) == "eth7"
