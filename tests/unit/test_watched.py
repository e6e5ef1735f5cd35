"""Which servers of a run are one and the same."""

from __future__ import annotations

from fastbench.monitor.metrics import MetricsSource, Reading
from fastbench.monitor.watched import Watched, distinct


class Source:
    """Remembers which models it was made for."""

    def __init__(self, models: tuple[str, ...]) -> None:
        self.models = models

    def read(self) -> Reading:
        """Say nothing."""
        return Reading(counters={}, gauges={})

    def close(self) -> None:
        """There is nothing to close."""


def test_same_address_is_the_same_server() -> None:
    """Two streams with other names for one address watch it once, under the first name."""
    asked: list[tuple[str, ...]] = []

    def ask(models: tuple[str, ...]) -> MetricsSource:
        asked.append(models)
        return Source(models)

    first = Watched(url="redisai://localhost", address=("127.0.0.1", 6379), ask=ask, models=("m",))
    again = Watched(url="redisai://127.0.0.1", address=("127.0.0.1", 6379), ask=ask, models=("n",))
    (found,) = distinct([first, again, first])

    assert found.url == "redisai://localhost"
    assert found.models == ("m", "n")
    assert isinstance(found.source(), Source)
    assert asked == [("m", "n")]


def test_same_process_is_the_same_server() -> None:
    """A server reached over TCP and over its unix socket is one; what only one tells is kept."""
    tcp = Watched(url="redis://h", address=("127.0.0.1", 6379), pid=7)
    unix = Watched(url="redis+unix:///s", address="/s", pid=7, ask=Source)
    (found,) = distinct([tcp, unix])

    assert (found.url, found.pid) == ("redis://h", 7)
    assert found.source() is not None


def test_unknown_processes_are_not_the_same() -> None:
    """Servers elsewhere differ by their addresses; their order is that of the run."""
    servers = [Watched(url=f"redis://h{n}", address=(f"10.0.0.{n}", 6379)) for n in (2, 1, 3)]

    assert distinct([*servers, *servers]) == servers
    assert servers[0].source() is None
