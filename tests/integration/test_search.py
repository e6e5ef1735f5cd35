"""``fastbench search`` against servers whose highest rate is known."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from support.cli import fastbench, running
from support.fakeserver import FakeServer, Reply, Request

from fastbench import results, searches

if TYPE_CHECKING:
    from pathlib import Path

SERVICE_S = 0.002
CATCH_UP_S = 0.05


class Paced:
    """Answers one request every 2 ms and no faster, so 500/s, whatever its timers do.

    A reply that a timer made late is made up for, up to 50 ms: the mean rate is exact.
    """

    def __init__(self) -> None:
        self._due_s = 0.0

    def __call__(self, request: Request) -> Reply:
        """Answer when it is due."""
        if request.words[0] != b"PING":
            return Reply()
        now = time.monotonic()
        self._due_s = max(self._due_s, now - CATCH_UP_S) + SERVICE_S
        return Reply(after_s=max(self._due_s - now, 0.0))


def arguments(server: FakeServer, out: Path, *options: str) -> list[str]:
    """Return the arguments that search with PING on one connection."""
    url = f"redis://127.0.0.1:{server.address[1]}"
    return ["search", "command", url, "--out", str(out), "--quiet", *options, "--", "PING"]


def read(out: Path) -> searches.SearchResult:
    """Return what the search found."""
    return searches.from_json((out / "search.json").read_bytes())


def waited_for_a_cpu(out: Path, found: searches.SearchResult) -> bool:
    """Tell whether the client of a probe that it limited was kept from its CPU by others."""
    limited = [out / p.name for p in found.probes if p.outcome == "client-limited"]
    told = [results.from_json((folder / "result.json").read_bytes()) for folder in limited]
    threads = [t for result in told for r in result.repetitions for t in r.client.threads]
    return any((t.run_delay_s or 0.0) > 0.005 * t.elapsed_s for t in threads)


def test_rate_of_a_server_of_500_per_s_is_found(tmp_path: Path) -> None:
    """One connection, 2 ms a request: the answer is within 10 % of 500/s and brackets it."""
    out = tmp_path / "s"
    with FakeServer(Paced()) as server:
        done = fastbench(
            *arguments(server, out, "--slo", "p99<1s", "--duration", "3", "--warmup", "0.3"),
            timeout_s=240,
        )

    assert done.code == 0, done.err
    found = read(out)
    if found.finding == "client-limited":
        assert waited_for_a_cpu(out, found)
        pytest.skip("this machine is too busy: the client was the limit, and the search said so")
    assert found.finding == "found"
    assert found.highest_held_per_s == pytest.approx(500, rel=0.10)
    assert found.lowest_failed_per_s is not None
    assert found.lowest_failed_per_s <= found.highest_held_per_s * 1.051
    assert all((out / probe.name / "result.json").exists() for probe in found.probes)
    assert "is the highest rate found to hold p99<1s" in done.out
    decided = {p.rate_per_s: p.repetitions for p in found.probes}
    assert decided[found.highest_held_per_s] == 3


def test_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    """Kill -9 in the middle: the probes that were made are kept, the search ends as it would."""
    out = tmp_path / "s"
    options = ("--slo", "p99<500ms", "--duration", "0.3", "--warmup", "1")
    options += ("--repetitions", "1", "--resolution", "5%")
    with FakeServer(Paced()) as server:
        with running(*arguments(server, out, *options)) as run:
            run.wait_until(lambda: len(list(out.glob("*/result.json"))) >= 3)
            run.signal_group(signal.SIGKILL)
            run.process.wait(60)
        before = read(out)
        again = fastbench(*arguments(server, out, *options))
        other = fastbench(*arguments(server, out, *options, "--slo", "errors<1%"))

    assert before.status == "running"
    assert len(before.probes) >= 2
    assert again.code == 0, again.err
    found = read(out)
    assert found.status == "complete"
    assert found.probes[: len(before.probes)] == before.probes
    assert other.code == 2
    assert 'slo was ["p99<500ms"], now' in other.line


def test_server_that_always_errs_holds_no_rate(tmp_path: Path) -> None:
    """Every other reply is an error: no rate has fewer than 1 %, which is exit code 3."""
    out = tmp_path / "s"

    def script(request: Request) -> Reply:
        if request.words[0] == b"PING" and request.number % 2:
            return Reply(b"-ERR busy\r\n")
        return Reply()

    options = ("--slo", "errors<1%", "--rate", "20000", "--duration", "0.3", "--warmup", "0")
    with FakeServer(script) as server:
        done = fastbench(*arguments(server, out, *options, "--repetitions", "1"))

    assert done.code == 3, done.err
    found = read(out)
    assert found.finding in {"none-holds", "client-limited"}  # the latter on a busy machine
    assert found.highest_held_per_s is None
    assert "no rate h" in done.out
    assert all(probe.outcome != "held" for probe in found.probes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--slo: say what must hold"),
        (("--slo", "p99"), "p99<50ms"),
        (("--slo", "p99<5ms", "--resolution", "90%"), "must be between 0.1% and 50%"),
        (("--slo", "p99<5ms", "--profile", "1:1s"), "a search chooses the rates itself"),
    ],
)
def test_wrong_usage_leaves_nothing(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    """One line, exit code 2, no folder, and nothing was sent."""
    with FakeServer() as server:
        done = fastbench(*arguments(server, tmp_path / "s", *options))

    assert done.code == 2
    assert says in done.line
    assert list(tmp_path.iterdir()) == []
    assert server.requests == []


def test_no_server_is_an_error(tmp_path: Path) -> None:
    """Where nothing listens there is nothing to search: one line, no folder."""
    done = fastbench(
        *("search", "command", f"redis+unix://{tmp_path}/none", "--slo", "p99<5ms"),
        *("--out", tmp_path / "s", "--quiet", "--", "PING"),
    )

    assert done.code == 1
    assert "none" in done.line
    assert list(tmp_path.iterdir()) == []
