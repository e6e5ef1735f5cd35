"""Which CPUs the client takes and which it leaves: on machines that stand in folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import faketree

from fastbench import placement, topology
from fastbench.config import RunConfig
from fastbench.errors import UsageError
from fastbench.machine import route

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED = sorted(os.sched_getaffinity(0))


@pytest.fixture
def two_sockets(tmp_path: Path) -> tuple[topology.Cpu, ...]:
    """Return 2 sockets of 2 cores with 2 threads: node 0 has 0 1 4 5, siblings are n and n + 4."""
    return topology.read(faketree.plant(tmp_path, faketree.cpus(sockets=2, cores=2, threads=2)))


@pytest.mark.parametrize(
    ("allowed", "server", "near", "order"),
    [
        (range(8), (), None, [0, 1, 2, 3, 4, 5, 6, 7]),
        (range(8), (), 1, [2, 3, 0, 1, 6, 7, 4, 5]),
        (range(8), (), 7, [0, 1, 2, 3, 4, 5, 6, 7]),
        ((2, 4, 6, 7), (), None, [2, 7, 4, 6]),
        (range(8), (0, 4), None, [1, 2, 3, 5, 6, 7, 0, 4]),
        (range(8), (0, 1), None, [2, 3, 6, 7, 4, 5, 0, 1]),
        (range(8), range(8), None, [0, 1, 2, 3, 4, 5, 6, 7]),
        ((5,), (5,), None, [5]),
    ],
)
def test_order_of_preference(
    two_sockets: tuple[topology.Cpu, ...],
    allowed: range,
    server: tuple[int, ...],
    near: int | None,
    order: list[int],
) -> None:
    """Away from the server, then one CPU of each core, then the near node, then by number."""
    assert placement.preference(two_sockets, list(allowed), server, near) == order


def test_machine_that_hides_its_topology() -> None:
    """Each CPU is then a core of its own, in order."""
    assert placement.preference((), [3, 1, 2]) == [1, 2, 3]


def test_threads_take_allowed_cpus_in_turn() -> None:
    """More threads than CPUs: they share them in turn."""
    cpus = placement.client_cpus(RunConfig(threads=2 * len(ALLOWED) + 1))

    assert sorted(cpus[: len(ALLOWED)]) == ALLOWED
    assert cpus[len(ALLOWED) :] == (*cpus[: len(ALLOWED)], cpus[0])


def test_given_cpus_keep_their_order() -> None:
    """The CPUs given are used in the order given, whatever the server uses."""
    last = ALLOWED[-1]

    config = RunConfig(threads=2, cpus=(last,))
    assert placement.client_cpus(config, server=[last]) == (last, last)


def test_no_pinning() -> None:
    """Without pinning no CPU is chosen, and the embedded server may use all."""
    assert placement.client_cpus(RunConfig(pin=False)) == ()
    assert placement.embedded_cpus(RunConfig(pin=False)) == ()


def test_cpu_that_is_not_allowed() -> None:
    """A CPU that the process may not use is named."""
    missing = ALLOWED[-1] + 1000

    with pytest.raises(UsageError, match=f"CPU {missing} "):
        placement.client_cpus(RunConfig(cpus=(missing,)))


@pytest.mark.parametrize(
    ("threads", "cpus", "left"),
    [(1, None, (1, 2, 3)), (3, None, (3,)), (4, None, ()), (9, None, ()), (2, (3, 3), (0, 1, 2))],
)
def test_embedded_server_gets_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    cpus: tuple[int, ...] | None,
    left: tuple[int, ...],
) -> None:
    """The CPUs without a thread of the client; all of them where none is left."""
    monkeypatch.setattr(placement.platform_info, "allowed_cpus", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(topology, "read", lambda *_: ())

    assert placement.embedded_cpus(RunConfig(threads=threads, cpus=cpus)) == left


def test_placement_names_what_is_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CPUs and cores in common, and interrupts of the card that the client's CPUs serve."""
    card = "sys/devices/pci0/0000:01:00.0"
    files = faketree.cpus(sockets=2, cores=2, threads=2) | {
        f"{card}/numa_node": "1",
        f"{card}/msi_irqs/45": "msix",
        f"{card}/msi_irqs/46": "msix",
        "proc/irq/45/effective_affinity_list": "2-3",
        "proc/irq/46/smp_affinity_list": "5",
    }
    root = faketree.plant(tmp_path, files)
    net = root / "sys/class/net/eth0"
    net.mkdir(parents=True)
    (net / "device").symlink_to(root / card)
    monkeypatch.setattr(placement.platform_info, "allowed_cpus", lambda: list(range(8)))
    monkeypatch.setattr(placement, "process_cpus", lambda _: [2, 3, 6, 7])
    monkeypatch.setattr(route, "interface_to", lambda _: "eth0")

    placed = placement.place(RunConfig(threads=1), [42], ("192.0.2.1", 1), root)
    assert placed.client_cpus == [0]
    assert (placed.shared_cpus, placed.shared_cores, placed.interrupts) == ([], [], {})

    config = RunConfig(threads=3, cpus=(0, 2, 6))
    placed = placement.place(config, [42], ("192.0.2.1", 1), root)
    assert placed.server_cpus == [2, 3, 6, 7]
    assert placed.shared_cpus == [2, 6]
    assert placed.shared_cores == [[2, 6]]
    assert placed.interrupts == {"45": [2]}

    monkeypatch.setattr(placement, "process_cpus", lambda _: [])
    placed = placement.place(RunConfig(threads=2), [None], ("192.0.2.1", 1), root)
    assert placed.client_cpus == [2, 3], "the card's node comes first"


def test_own_process_and_none() -> None:
    """The kernel's own answer; no process, or one that has gone, has no CPUs."""
    assert placement.process_cpus(os.getpid()) == ALLOWED
    assert placement.process_cpus(None) == []
    assert placement.process_cpus(2**30) == []
