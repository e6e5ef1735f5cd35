"""What each node of a cluster did, a line each, all repetitions together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import numbers

if TYPE_CHECKING:
    from fastbench.results import NodeCounts, Result

TITLE = "nodes of the cluster"
_REDIRECTS = {"moved": "MOVED", "asked": "ASK"}
_FAILURES = ("errors", "timeouts", "lost", "unfinished")


def node_lines(result: Result) -> list[tuple[str, str]]:
    """Return (address, counts in words) by address; nothing where the target is no cluster."""
    by_address: dict[str, list[NodeCounts]] = {}
    for repetition in result.repetitions:
        for node in repetition.nodes:
            by_address.setdefault(node.address, []).append(node)
    return [(address, _words(counts)) for address, counts in by_address.items()]


def _words(counts: list[NodeCounts]) -> str:
    totals = {
        name: sum(getattr(node, name) for node in counts)
        for name in ("sent", "ok", *_REDIRECTS, *_FAILURES)
    }
    shown = [f"{name} {numbers.count(totals[name])}" for name in ("sent", "ok")]
    shown += [f"{word} {numbers.count(totals[name])}" for name, word in _REDIRECTS.items()]
    shown += [f"{name} {numbers.count(totals[name])}" for name in _FAILURES if totals[name]]
    return ", ".join(shown)
