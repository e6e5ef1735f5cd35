"""Where each CPU sits: physical core, SMT siblings, socket, NUMA node, as sysfs tells it.

Source: the kernel's Documentation/admin-guide/cputopology.rst and the files under
``/sys/devices/system/cpu`` and ``/sys/devices/system/node``. Every reader takes the folder that
stands for ``/``, so that tests (and readers of another machine's files) can pass their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path("/")

_CPUS = "sys/devices/system/cpu"
_NODES = "sys/devices/system/node"
_LIST = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cpu:
    """One logical CPU; ``socket`` and ``node`` are None where the kernel does not tell."""

    number: int
    siblings: tuple[int, ...]  # CPUs of the same physical core, itself included, ascending
    socket: int | None = None
    node: int | None = None

    @property
    def core(self) -> int:
        """The physical core, named by its lowest CPU: the same for all siblings."""
        return self.siblings[0]


def read(root: Path = ROOT) -> tuple[Cpu, ...]:
    """Return the CPUs that are online, ascending; empty where the kernel hides them.

    A CPU whose core is not told is a core of its own.
    """
    nodes = numa_nodes(root)
    node_of = {cpu: node for node, cpus in nodes.items() for cpu in cpus}
    return tuple(_read_cpu(root, number, node_of.get(number)) for number in online(root))


def online(root: Path = ROOT) -> list[int]:
    """Return the numbers of the CPUs that are online, ascending; empty where not told."""
    return _read_list(root / _CPUS / "online")


def numa_nodes(root: Path = ROOT) -> dict[int, list[int]]:
    """Return the CPUs of each NUMA node, ascending; empty where the kernel has no nodes."""
    found = {}
    for folder in (root / _NODES).glob("node[0-9]*"):
        found[int(folder.name.removeprefix("node"))] = _read_list(folder / "cpulist")
    return dict(sorted(found.items()))


def physical_cores(cpus: Iterable[Cpu]) -> dict[int, list[Cpu]]:
    """Group CPUs by physical core; the key is the core's lowest CPU, also one not in ``cpus``."""
    cores: dict[int, list[Cpu]] = {}
    for cpu in cpus:
        cores.setdefault(cpu.core, []).append(cpu)
    return cores


def shared_cores(cpus: Iterable[Cpu], numbers: Iterable[int]) -> list[tuple[int, ...]]:
    """Return those of the CPUs ``numbers`` that share a physical core, core by core.

    Two busy threads there run at little more than the speed of one.
    """
    wanted = set(numbers)
    cores = physical_cores(cpu for cpu in cpus if cpu.number in wanted)
    return [tuple(cpu.number for cpu in core) for core in cores.values() if len(core) > 1]


def parse_list(text: str) -> list[int]:
    """Return the numbers of a list as the kernel writes it, in its order: ``0-2,8`` → 0 1 2 8.

    Raises :class:`ValueError` where it is no such list; an empty one is none either.
    """
    if _LIST.fullmatch(text.strip()) is None:
        msg = f"not a list of numbers and ranges: {text!r}"
        raise ValueError(msg)
    ranges = (piece.partition("-") for piece in text.strip().split(","))
    return [n for first, _, last in ranges for n in range(int(first), int(last or first) + 1)]


def format_list(numbers: Sequence[int]) -> str:
    """Return ascending numbers as the kernel writes them: 0 1 2 8 → ``0-2,8``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def _read_cpu(root: Path, number: int, node: int | None) -> Cpu:
    folder = root / _CPUS / f"cpu{number}" / "topology"
    same_core = _read_list(folder / "core_cpus_list") or _read_list(
        folder / "thread_siblings_list"  # its name before Linux 5.3
    )
    siblings = tuple(sorted({*same_core, number}))
    return Cpu(number, siblings, _read_number(folder / "physical_package_id"), node)


def _read_list(path: Path) -> list[int]:
    try:
        return parse_list(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _read_number(path: Path) -> int | None:
    try:
        number = int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return number if number >= 0 else None  # -1: the firmware does not tell
