"""Where CPUs sit: read from trees that stand for machines, and from this one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbench import topology
from fastbench.topology import Cpu
from tests.support import faketree

if TYPE_CHECKING:
    from pathlib import Path


def test_two_sockets_with_smt(tmp_path: Path) -> None:
    """Core, siblings, socket and node of each CPU are those of the files."""
    root = faketree.plant(tmp_path, faketree.cpus(sockets=2, cores=2, threads=2))

    cpus = topology.read(root)

    assert len(cpus) == 8
    assert cpus[1] == Cpu(1, siblings=(1, 5), socket=0, node=0)
    assert cpus[6] == Cpu(6, siblings=(2, 6), socket=1, node=1)
    assert cpus[6].core == cpus[2].core == 2
    assert topology.numa_nodes(root) == {0: [0, 1, 4, 5], 1: [2, 3, 6, 7]}
    cores = topology.physical_cores(cpus)
    assert {core: [c.number for c in on] for core, on in cores.items()} == {
        0: [0, 4],
        1: [1, 5],
        2: [2, 6],
        3: [3, 7],
    }


def test_shared_cores_are_named(tmp_path: Path) -> None:
    """Only CPUs that were chosen count: one thread of each core shares with nobody."""
    cpus = topology.read(faketree.plant(tmp_path, faketree.cpus(cores=4, threads=2)))

    assert topology.shared_cores(cpus, [0, 1, 2, 3]) == []
    assert topology.shared_cores(cpus, [0, 1, 4, 5, 7]) == [(0, 4), (1, 5)]


def test_old_kernel_and_offline_cpu(tmp_path: Path) -> None:
    """The siblings' older name is read, and a CPU that is off is not there."""
    folder = "sys/devices/system/cpu"
    root = faketree.plant(
        tmp_path,
        {
            f"{folder}/online": "0,2",
            f"{folder}/cpu0/topology/thread_siblings_list": "0,2",
            f"{folder}/cpu0/topology/physical_package_id": "-1",
            f"{folder}/cpu2/topology/thread_siblings_list": "garbage",
        },
    )

    assert topology.read(root) == (Cpu(0, siblings=(0, 2)), Cpu(2, siblings=(2,)))


def test_hidden_topology_is_no_error(tmp_path: Path) -> None:
    """Where there is no sysfs nothing is claimed."""
    assert topology.read(tmp_path) == ()
    assert topology.numa_nodes(tmp_path) == {}
    assert topology.shared_cores((), [0, 1]) == []


def test_this_machine() -> None:
    """Whatever this process may run on is a CPU that is online."""
    cpus = topology.read()

    if not cpus:
        pytest.skip("no topology in /sys here")
    assert os.sched_getaffinity(0) <= {cpu.number for cpu in cpus}
    assert all(cpu.number in cpu.siblings for cpu in cpus)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_lists_survive_both_ways(numbers: set[int]) -> None:
    """What is written as a list reads back the same."""
    ascending = sorted(numbers)

    assert topology.parse_list(topology.format_list(ascending)) == ascending


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "0-1-2", "1;2", "٣"])
def test_what_is_no_list_is_refused(text: str) -> None:
    """A damaged file is an error to the parser, never half a list."""
    with pytest.raises(ValueError, match="not a list"):
        topology.parse_list(text)


def test_list_has_ranges_and_numbers() -> None:
    """The kernel's notation, as it stands in its files."""
    assert topology.parse_list("0-2,8\n") == [0, 1, 2, 8]
    assert topology.format_list([0, 1, 2, 8]) == "0-2,8"
