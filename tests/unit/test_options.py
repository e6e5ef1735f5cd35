"""Options declared once reach the configuration, whichever command they are given to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from fastbench import cli, runner
from fastbench.cli import options
from fastbench.cli.gather import Given, gathers
from fastbench.config import RunConfig, TlsConfig

if TYPE_CHECKING:
    from fastbench.cli.gather import Group

#: Every shared option as a user writes it, and the field and value that it must become.
SHARED: dict[str, tuple[tuple[str, ...], object]] = {
    "threads": (("--threads", "2"), 2),
    "connections": (("--connections", "6"), 6),
    "pipeline": (("--pipeline", "3"), 3),
    "rate_per_s": (("--rate", "50"), 50.0),
    "arrivals": (("--arrivals", "poisson"), "poisson"),
    "max_outstanding": (("--max-outstanding", "9"), 9),
    "spin": (("--spin",), True),
    "cpus": (("--cpus", "0-1"), (0, 1)),
    "pin": (("--no-pin",), False),
    "seed": (("--seed", "7"), 7),
    "duration_s": (("--duration", "2"), 2.0),
    "requests": (("--requests", "10"), 10),
    "warmup_s": (("--warmup", "0.5"), 0.5),
    "repetitions": (("--repetitions", "2"), 2),
    "timeout_s": (("--timeout", "4"), 4.0),
    "max_errors": (("--max-errors", "5"), 5),
    "fail_fast": (("--fail-fast",), True),
    "profile": (("--profile", "10:1s"), "10:1s"),
    "arrivals_file": (("--arrivals-file", "a"), Path("a")),
    "out": (("--out", "o"), Path("o")),
}
#: Those that need another beside them.
NEEDS = {"spin": ("--rate", "50")}
COMMANDS = (("run", "redisais://h"), ("command", "rediss://h", "--command", "PING"))


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Return what the runner is asked for, instead of running it."""
    asked: list[RunConfig] = []

    def run(config: RunConfig, **_: object) -> None:
        asked.append(config)
        raise typer.Exit

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return asked


def config_of(configured: list[RunConfig], *arguments: str) -> RunConfig:
    """Return the configuration that a command line makes."""
    CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    return configured[-1]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
@pytest.mark.parametrize("field", SHARED)
def test_shared_option(configured: list[RunConfig], command: tuple[str, ...], field: str) -> None:
    """Each shared option changes its own field of the configuration, and no other."""
    arguments, value = SHARED[field]
    others = NEEDS.get(field, ())
    usual = config_of(configured, *command, *others)

    config = config_of(configured, *command, *others, *arguments)

    assert getattr(usual, field) != value
    assert config == dataclasses.replace(usual, **{field: value})


def test_every_shared_option_is_tested() -> None:
    """Nobody adds a shared option of the configuration without its line above."""
    groups: tuple[type[Group], ...] = (options.Load, options.Ends, options.Output)
    names = {name for group in groups for name in group.__annotations__ if name != "PANEL"}
    fields = {f.name for f in dataclasses.fields(RunConfig)}

    assert names & fields == set(SHARED)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_tls_options(configured: list[RunConfig], command: tuple[str, ...]) -> None:
    """The options of TLS make one TlsConfig; without any there is none."""
    given = ("--tls-cert", "c", "--tls-key", "k", "--tls-server-name", "n")
    given += ("--tls-insecure", "--tls-min-version", "1.3")

    config = config_of(configured, *command, *given)

    assert config_of(configured, *command).tls is None
    assert config.tls == TlsConfig(
        cert=Path("c"), key=Path("k"), server_name="n", insecure=True, min_version="1.3"
    )


def test_own_default_of_a_command(configured: list[RunConfig]) -> None:
    """A command may give a shared option another default: commands need no warm-up."""
    assert config_of(configured, *COMMANDS[0]).warmup_s == 1.0
    assert config_of(configured, *COMMANDS[1]).warmup_s == 0.0


def test_what_the_user_wrote_is_known() -> None:
    """A value that the user wrote is told from the same value by default."""
    seen: list[Given] = []
    app = typer.Typer()

    @app.command()
    @gathers(options.Ends)
    def ends(given: Given) -> None:
        """Take the options."""
        seen.append(given)

    CliRunner().invoke(app, ["--warmup", "1.0"], catch_exceptions=False)

    values: dict[str, Any] = seen[0].values
    assert values["warmup_s"] == 1.0
    assert values["repetitions"] == 3
    assert seen[0].written == {"warmup_s"}
