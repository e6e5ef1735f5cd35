"""Which CPUs the client's threads take, and which are left to a server on the same machine."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from fastbench import platform_info, topology
from fastbench.errors import UsageError
from fastbench.machine import route
from fastbench.results import Placement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from fastbench.config import RunConfig
    from fastbench.plan import Address
    from fastbench.topology import Cpu


def client_cpus(
    config: RunConfig,
    server: Collection[int] = (),
    near: int | None = None,
    root: Path = topology.ROOT,
) -> tuple[int, ...]:
    """Return one CPU per thread, in turn from those given or preferred; empty = not pinned.

    ``server``: CPUs that a server on this machine uses. ``near``: the NUMA node to begin with.
    Raises :class:`UsageError` naming the first CPU that this process may not use.
    """
    if not config.pin:
        return ()
    allowed = platform_info.allowed_cpus()
    wanted = config.cpus or preference(topology.read(root), allowed, server, near)
    missing = sorted(set(wanted) - set(allowed))
    if missing:
        msg = f"--cpus: CPU {missing[0]} is not among those this process may use: {allowed}"
        raise UsageError(msg)
    return tuple(wanted[i % len(wanted)] for i in range(config.threads))


@contextlib.contextmanager
def off_the_workers(workers: Collection[int]) -> Iterator[None]:
    """Keep this thread, and those that it starts, off the workers' CPUs where there are others.

    Whatever watches the run would make a worker late that wakes while it runs on its CPU.
    """
    allowed = os.sched_getaffinity(0)
    others = allowed.difference(workers)
    try:
        if workers and others:
            os.sched_setaffinity(0, others)
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def preference(
    cpus: Sequence[Cpu],
    allowed: Sequence[int],
    server: Collection[int] = (),
    near: int | None = None,
) -> list[int]:
    """Return the ``allowed`` CPUs, those to pin a thread to first at the front.

    First cores that the server does not use, then one CPU of every physical core before a second
    one of any, then the NUMA node ``near``, where none is given that of the first allowed CPU.
    """
    of = {cpu.number: cpu for cpu in cpus}
    known = {n: of.get(n, topology.Cpu(n, (n,))) for n in allowed}
    home = near if near in {cpu.node for cpu in known.values()} else known[min(allowed)].node

    def rank(number: int) -> tuple[int, int, bool, int]:
        cpu = known[number]
        taken = 2 if number in server else int(not set(cpu.siblings).isdisjoint(server))
        before = sum(n < number and n in known for n in cpu.siblings)
        return taken, before, cpu.node != home, number

    return sorted(known, key=rank)


def embedded_cpus(config: RunConfig) -> tuple[int, ...]:
    """Return the CPUs for an embedded server: those without a thread of the client.

    Empty = all of them, where threads are not pinned or leave none.
    """
    client = client_cpus(config)
    rest = sorted(set(platform_info.allowed_cpus()) - set(client))
    return tuple(rest) if client else ()


def process_cpus(pid: int | None) -> list[int]:
    """Return the CPUs that a process's first thread may use; empty where that is not known."""
    try:
        return sorted(os.sched_getaffinity(pid)) if pid else []
    except OSError:
        return []


def place(
    config: RunConfig,
    server_pids: Iterable[int | None],
    address: Address,
    root: Path = topology.ROOT,
) -> Placement:
    """Choose the client's CPUs for servers that are there, and say what they share with them."""
    server = sorted({cpu for pid in server_pids for cpu in process_cpus(pid)})
    interface = route.interface_to(address)
    client = client_cpus(config, server, route.numa_node(interface, root), root)
    both = {*client, *server}
    shared = topology.shared_cores(topology.read(root), both)
    served = route.interrupts(interface, root)
    return Placement(
        client_cpus=list(client),
        server_cpus=server,
        shared_cpus=sorted({*client} & {*server}),
        shared_cores=[list(core) for core in shared if not {*core}.isdisjoint(client)],
        interface=interface,
        interrupts={irq: on for irq, cpus in served.items() if (on := [*{*cpus} & {*client}])},
    )
