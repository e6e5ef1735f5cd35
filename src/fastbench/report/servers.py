"""What each of several servers used and said of itself: medians over the repetitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.report import numbers, selfreport
from fastbench.results import ServerUsage
from fastbench.summary import counted, median_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.results import Repetition, Result

TITLE = "servers"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a server: what it is called, where it stands in the result, how it is written."""

    name: str
    unit: str
    of: Callable[[ServerUsage], float | None]
    form: Callable[[float | None], str]

    @property
    def label(self) -> str:
        """Name and unit, the head of a column."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


def _cpu(server: ServerUsage) -> float | None:
    return server.process.cpu_percent_mean if server.process else None


def _rss(server: ServerUsage) -> float | None:
    return server.process.rss_max_bytes / 2**20 if server.process else None


def _gathered(server: ServerUsage) -> float | None:
    return selfreport.samples_per_execution(server.metrics)


def _execution(value: float | None) -> str:
    return numbers.cost_format(value)(value)


FIGURES = (
    Figure("CPU", "%", _cpu, numbers.tenths),
    Figure("RSS", "MiB", _rss, numbers.tenths),
    Figure("its own CPU", "%", lambda s: selfreport.cpu_percent(s.metrics), numbers.tenths),
    Figure("commands/s", "", lambda s: selfreport.commands_per_s(s.metrics), numbers.rate),
    Figure("samples/execution", "", _gathered, numbers.tenths),
    Figure("queue mean", "ms", lambda s: selfreport.queue_ms(s.metrics), _execution),
    Figure("execution mean", "ms", lambda s: selfreport.execution_ms(s.metrics), _execution),
)


def servers_of(repetition: Repetition) -> list[ServerUsage]:
    """Return each server that was watched; one alone has no URL here: it is the target's."""
    alone = ServerUsage(url="", process=repetition.server, metrics=repetition.server_metrics)
    is_watched = alone.process is not None or alone.metrics is not None
    return repetition.servers or ([alone] if is_watched else [])


def by_url(repetitions: Sequence[Repetition]) -> dict[str, list[ServerUsage | None]]:
    """Return each server with what it did in each repetition; None where that has it not."""
    each = [{server.url: server for server in servers_of(r)} for r in repetitions]
    urls = dict.fromkeys(url for servers in each for url in servers)
    return {url: [servers.get(url) for servers in each] for url in urls}


def medians(result: Result) -> list[tuple[str, list[float | None]]]:
    """Return URL and FIGURES of each of several servers; nothing where there is only one."""
    several = by_url([r for r in counted(result.repetitions) if r.servers])
    return [
        (url, [median_of(figure.of(s) for s in each if s) for figure in FIGURES])
        for url, each in several.items()
    ]


def server_lines(result: Result) -> list[tuple[str, str]]:
    """Return (URL, its figures in words) of each of several servers."""
    return [(url, _words(values)) for url, values in medians(result)]


def unavailable(result: Result) -> list[str]:
    """Return why the figures that servers tell are incomplete, each reason once."""
    reasons = [
        f"{url}: {server.metrics.unavailable}" if url else server.metrics.unavailable
        for url, each in by_url(result.repetitions).items()
        for server in each
        if server and server.metrics and server.metrics.unavailable
    ]
    return list(dict.fromkeys(reasons))


def _words(values: list[float | None]) -> str:
    known = [
        f"{figure.name} {figure.form(value)} {figure.unit}".rstrip()
        for figure, value in zip(FIGURES, values, strict=True)
        if value is not None
    ]
    return ", ".join(known) or "not available"
