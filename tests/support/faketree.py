"""A folder that stands for ``/``: the files of /proc and /sys that a test wants to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Write each file (path below ``root`` → text, a newline added) and return ``root``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def cpus(*, sockets: int = 1, cores: int = 2, threads: int = 1) -> dict[str, str]:
    """Return the topology files of a machine with one NUMA node for each socket.

    Numbered as Linux does on x86: first one thread of every core of every socket, then the others.
    """
    total = sockets * cores
    files = {"sys/devices/system/cpu/online": f"0-{total * threads - 1}"}
    for number in range(total * threads):
        core, folder = number % total, f"sys/devices/system/cpu/cpu{number}/topology"
        siblings = [core + total * thread for thread in range(threads)]
        files[f"{folder}/core_cpus_list"] = ",".join(map(str, siblings))
        files[f"{folder}/physical_package_id"] = str(core // cores)
    for socket in range(sockets):
        own = [n for n in range(total * threads) if n % total // cores == socket]
        files[f"sys/devices/system/node/node{socket}/cpulist"] = ",".join(map(str, own))
    return files
