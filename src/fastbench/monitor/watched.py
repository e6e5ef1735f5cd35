"""Which servers a run watches: each once, however many streams and endpoints lead to it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastbench.monitor.metrics import MetricsSource
    from fastbench.plan import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A server that inferences go to.

    ``url``: for people, without a password. ``address``: where it was reached. ``pid``: of its
    process where it runs on this machine; it may vanish at any time. ``ask``: makes what asks it
    about itself and the ``models`` of the run under these keys, where it can be asked.
    """

    url: str
    address: Address
    pid: int | None = None
    ask: Callable[[tuple[str, ...]], MetricsSource] | None = None
    models: tuple[str, ...] = ()

    def source(self) -> MetricsSource | None:
        """Return what asks it during one repetition; None where it cannot be asked."""
        return None if self.ask is None else self.ask(self.models)


def distinct(servers: Iterable[Watched]) -> list[Watched]:
    """Return each server once, in the order they come, with the models of all its mentions.

    What has the same address, or the same process, is the same server.
    """
    found: list[Watched] = []
    for server in servers:
        same = next((i for i, other in enumerate(found) if _are_same(other, server)), None)
        if same is None:
            found.append(server)
        else:
            found[same] = _merged(found[same], server)
    return found


def _are_same(one: Watched, other: Watched) -> bool:
    return one.address == other.address or (one.pid is not None and one.pid == other.pid)


def _merged(first: Watched, second: Watched) -> Watched:
    return dataclasses.replace(
        first,
        pid=first.pid if first.pid is not None else second.pid,
        ask=first.ask or second.ask,
        models=tuple(dict.fromkeys((*first.models, *second.models))),
    )
