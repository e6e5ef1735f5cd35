"""The command line itself: help, wrong arguments, and how errors end."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from fastbench import __version__, cli, runner
from fastbench.errors import DatasetError, FastbenchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Main = Callable[..., int]

COMMANDS = ("run", "report", "serve", "null-server", "saturate", "data", "model")


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """Undo what a command does to the signals of its process, which is this one."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Return a function that runs a command line in this process and returns its exit code."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["fastbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return call


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error; nothing is on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("fastbench: "), err
    return err.strip()


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_help(main: Main, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Help names every command; without arguments it comes too, but as wrong usage."""
    assert main(*arguments) == (0 if arguments else 2)

    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(main: Main, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Every command explains itself."""
    assert main(command, "--help") == 0
    assert f"fastbench {command}" in capsys.readouterr().out


def test_version(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed as program and number."""
    assert main("--version") == 0
    assert capsys.readouterr().out == f"fastbench {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), ("nope", "fastbench --help")),
        (("run", "--nope"), ("--nope", "fastbench run --help")),
        (("run", "--thread", 1), ("--thread", "--threads")),
        (("run", "--threads"), ("--threads",)),
        (("run", "--threads", "many"), ("--threads", "integer")),
        (("run", "--threads", "1e9"), ("--threads", "integer")),
        (("run", "--threads", "nan"), ("--threads", "integer")),
        (("run", "--threads", 0), ("--threads 0", "1 and 1024")),
        (("run", "--threads", 10**24), ("--threads", "1 and 1024")),
        (("run", "--connections", -1), ("--connections -1",)),
        (("run", "--pipeline", 0), ("--pipeline 0",)),
        (("run", "--batch", 10**9), ("--batch 1000000000",)),
        (("run", "--duration", "nan"), ("--duration nan",)),
        (("run", "--duration", "-1"), ("--duration -1",)),
        (("run", "--duration", "5s"), ("--duration", "number of seconds, without a unit")),
        (("run", "--workload", "audio"), ("vision or fraud; Redis commands: fastbench command",)),
        (("run", "--workload", "command"), ("use fastbench command, e.g.",)),
        (("run", "--duration", 1, "--requests", 1), ("--duration and --requests",)),
        (("run", "--cpus", "0-"), ("--cpus '0-'",)),
        (("run", "--cpus", 0, "--no-pin"), ("--cpus and --no-pin",)),
        (("run", "--form", "x"), ("--form 'x'", "pipeline, dag, dag-ro, execute")),
        (("run", "--device", "tpu"), ("--device 'tpu'",)),
        (("run", "foo:"), ("unknown scheme",)),
        (("run", "a", "b"), ("b", "fastbench run --help")),
        (("report",), ("DIR", "fastbench report --help")),
        (("report", "/proc/none"), ("/proc/none", "No such file")),
        (("serve", "--port", 65536), ("--port",)),
        (("serve", "--host", "0.0.0.0"), ("--host 0.0.0.0", "--requirepass")),
        (("data", "vision"), ("--images", "--fetch", "--sample")),
        (("model", "show"), ("MODEL",)),
    ],
)
def test_wrong_usage(
    main: Main,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    words: tuple[str, ...],
) -> None:
    """Wrong usage ends with 2 and one line that names what is wrong."""
    assert main(*arguments) == 2

    line = one_line(capsys)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("that is wrong"), 2),
        (DatasetError("that is wrong"), 1),
        (FastbenchError("that is wrong"), 1),
    ],
)
def test_expected_errors(
    main: Main,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: FastbenchError,
    code: int,
) -> None:
    """An expected error is one line and its exit code, never a traceback."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(runner, "run", fail)

    assert main("run") == code
    assert one_line(capsys) == "fastbench: that is wrong"


def test_server_text_is_made_harmless(
    main: Main, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line breaks and escape sequences that a server sends do not reach the terminal."""
    error = FastbenchError("the server says \x1b[2J\r\n\x07boo\x00")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(runner, "run", fail)

    assert main("run") == 1
    assert one_line(capsys) == "fastbench: the server says [2J boo"


def test_interrupt(
    main: Main, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before there is a result is one line and exit code 130."""

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", fail)

    assert main("run") == 130
    assert one_line(capsys) == "fastbench: interrupted"


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is not hidden: its traceback is what a bug report needs."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(runner, "run", fail)
    monkeypatch.setattr(sys, "argv", ["fastbench", "run"])

    with pytest.raises(ZeroDivisionError):
        cli.main()
