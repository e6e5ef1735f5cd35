"""``fastbench servers`` with a small server of ours that installs and starts well, or badly."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from fastbench.errors import LocalServerError
from fastbench.local_servers import control, launch, processes
from fastbench.local_servers.base import LocalServer, Place, get_json
from fastbench.local_servers.listing import lines_of
from fastbench.local_servers.state import Folder, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

#: Answers by HTTP and has a child that ignores SIGTERM.
PROGRAM = """
import http.server, os, signal, sys
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"up": true}')
print("I am up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
FAILS_ONCE = """
import os
if not os.path.exists("../tried"):
    open("../tried", "w")
    os._exit(3)
"""


@dataclass(frozen=True)
class Small(LocalServer):
    """Python's own web server."""

    name: ClassVar = "small"
    about: ClassVar = "a small server"
    ports: ClassVar = ("http",)

    program: str = PROGRAM
    cleaned: list[int] = field(default_factory=list)
    installs: tuple[tuple[str, ...], ...] = ()

    def prepare(self, place: Place) -> list[str]:
        """Return the command."""
        return [str(place.python), "-c", self.program, str(place.ports["http"])]

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask whether it is up."""
        return bool(get_json(ports["http"], "/")["up"])

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return its URL."""
        return [f"rest://127.0.0.1:{ports['http']}/"]

    def clean_up(self, ports: Mapping[str, int]) -> None:
        """Keep the port for which it was called."""
        self.cleaned.append(ports["http"])


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in which the small server is installed; it is stopped in the end."""
    state = tmp_path_factory.mktemp("state")
    control.install(Small(), state, print)
    yield state
    control.stop(Small(), state, print)


@pytest.fixture
def said() -> list[str]:
    """Return the lines that people are told."""
    return []


def test_life(state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts, is listed, and is stopped with a child that does not want to."""
    monkeypatch.setattr(processes, "GENTLE_S", 0.2)
    running = control.start(Small(), state, said.append)
    listed = list(lines_of(control.status(Small(), state)))
    answer = get_json(running.ports["http"], "/")
    processes_before = processes.members(running)
    after_a_reboot = processes.members(msgspec.structs.replace(running, boot="another"))
    control.stop(Small(), state, said.append)

    assert answer == {"up": True}
    assert len(processes_before) == 2
    assert os.getpid() not in processes_before
    assert after_a_reboot == []
    assert listed[0].split(maxsplit=1) == ["small", "a small server"]
    assert f"runs, pid {running.pid}, ports http {running.ports['http']}" in listed[1]
    assert listed[2].strip() == running.targets[0]
    assert said[-1] == "small: stopped"
    assert processes.members(running) == []
    assert control.status(Small(), state).running is None
    assert Folder(state, "small").log.read_text().startswith("I am up")


def test_crash_that_left_a_child(
    state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed server has left is ended before it starts again."""
    monkeypatch.setattr(processes, "GENTLE_S", 0.2)
    first = control.start(Small(), state, said.append)
    [child] = set(processes.members(first)) - {first.pid}
    _kill(first)
    between = control.status(Small(), state).running
    left = processes.members(first)
    control.start(Small(), state, said.append)
    control.stop(Small(), state, said.append)

    assert between is None
    assert left == [child]
    assert processes.members(first) == []


@pytest.mark.parametrize("act", [control.start, control.stop])
def test_what_does_not_end(
    act: Callable[..., object], state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process of the former server stays, one line says which; nothing is started."""
    first = control.start(Small(), state, said.append)
    [child] = set(processes.members(first)) - {first.pid}
    _kill(first)
    said.clear()
    with monkeypatch.context() as deaf:
        deaf.setattr(processes, "_signal", lambda *_: None)
        deaf.setattr(processes, "GENTLE_S", 0.1)
        deaf.setattr(processes, "HARSH_S", 0.1)
        with pytest.raises(
            LocalServerError, match=rf"^small: .* do not end, pid {child}: end them"
        ):
            act(Small(), state, said.append)
        kept = Folder(state, "small").running
    monkeypatch.setattr(processes, "GENTLE_S", 0.2)
    control.stop(Small(), state, said.append)

    assert kept is not None
    assert kept.pid == first.pid
    assert said == ["small: stopped"]
    assert processes.members(first) == []


def test_failed_start_that_does_not_end(
    state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails and leaves a process is not tried again; a stop ends what it left."""
    leaving = PROGRAM.replace("class Handler", "raise SystemExit('no such model')\nclass Handler")
    with monkeypatch.context() as deaf:
        deaf.setattr(processes, "_signal", lambda *_: None)
        deaf.setattr(processes, "GENTLE_S", 0.1)
        deaf.setattr(processes, "HARSH_S", 0.1)
        with pytest.raises(LocalServerError, match=r"small: .* do not end, pid "):
            control.start(Small(leaving), state, said.append)
    left = Folder(state, "small").running
    monkeypatch.setattr(processes, "GENTLE_S", 0.2)
    control.stop(Small(), state, said.append)

    assert said.count("    no such model") == 1
    assert left is not None
    assert processes.members(left) == []


def _kill(running: Running) -> None:
    """Let the first process of a server crash, and its number be free."""
    os.kill(running.pid, signal.SIGKILL)
    os.waitpid(running.pid, 0)


def test_crash_that_left_nothing(state: Path, said: list[str]) -> None:
    """To stop a server that has crashed is to remove what it left outside its folder."""
    alone = PROGRAM.replace("if os.fork() == 0:", "if False:")
    server = Small(alone)
    running = control.start(server, state, said.append)
    _kill(running)
    control.stop(server, state, said.append)

    assert said[-1] == "small: not running"
    assert server.cleaned == [running.ports["http"]]
    assert Folder(state, "small").running is None


def test_session_of_somebody_else(state: Path, said: list[str]) -> None:
    """A session that has our record's number and lost its leader is not touched."""
    code = "import os, signal\nif os.fork():\n    os._exit(0)\nprint(os.getpid(), flush=True)\n"
    words = [sys.executable, "-c", f"{code}signal.pause()"]
    environment = os.environ | {processes.VARIABLE: "theirs"}
    leader = subprocess.Popen(
        words, start_new_session=True, stdout=subprocess.PIPE, env=environment
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    leader.wait()
    try:
        ours, theirs = (_record(leader.pid, token=token) for token in ("ours", "theirs"))
        found = [processes.members(each) for each in (ours, theirs)]
        Folder(state, "small").running = ours
        control.stop(Small(), state, said.append)
        left = processes.look(child)
    finally:
        os.kill(child, signal.SIGKILL)
        leader.stdout.close()

    assert found == [[], [child]]
    assert said == ["small: not running"]
    assert left is not None


def _record(pid: int, token: str = "") -> Running:
    return Running(pid, 1, processes.boot(), token, {"http": 1}, ["rest://x/"], ready=True)


def test_interrupt_while_it_is_started(
    state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before there is a record of the process leaves none running."""
    spawn, began = launch.spawn, []

    def interrupted(*words: Any) -> Any:
        process, running = spawn(*words)
        began.append(running)
        signal.raise_signal(signal.SIGINT)
        return process, running

    monkeypatch.setattr(launch, "spawn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        control.start(Small(), state, said.append)
    [running] = began
    left = processes.members(running)
    processes.end(running)

    assert left == []
    assert Folder(state, "small").running is None


def test_number_that_another_process_has_now(state: Path, said: list[str]) -> None:
    """A record of an earlier process with a number that lives again does nobody harm."""
    folder = Folder(state, "small")
    folder.running = _record(os.getpid())

    before = control.status(Small(), state)
    control.stop(Small(), state, said.append)

    assert before.running is None
    assert said == ["small: not running"]
    assert folder.running is None


def test_failed_start(state: Path, said: list[str]) -> None:
    """The last lines of its log are shown, and nothing of it runs."""
    failing = Small("raise SystemExit('no such model')")
    words = "small did not start: it ended with code 1: see "
    with pytest.raises(LocalServerError, match=words):
        control.start(failing, state, said.append)

    assert said.count("    no such model") == launch.ATTEMPTS
    assert Folder(state, "small").running is None
    assert control.status(Small(), state).installed is not None


def test_port_that_somebody_takes(state: Path, said: list[str]) -> None:
    """A server that ends at first is tried again."""
    running = control.start(Small(FAILS_ONCE + PROGRAM), state, said.append)
    control.stop(Small(), state, said.append)

    assert running.ready
    assert [line for line in said if line.startswith("small: starting")] == [said[0], said[1]]


def test_slow_start(state: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers is ended when the time is over."""
    monkeypatch.setattr(launch, "START_S", 0.2)
    with pytest.raises(LocalServerError, match=r"small did not start: not ready in 0\.2 s: see "):
        control.start(Small("import signal; signal.pause()"), state, said.append)

    assert Folder(state, "small").running is None


def test_failed_install(tmp_path: Path, said: list[str]) -> None:
    """Pip's last words are shown, and no half of an environment stays."""
    nowhere = (("--no-index", "--find-links", "/nonexistent", "no-such-package-at-all"),)
    with pytest.raises(LocalServerError, match="small could not be installed: "):
        control.start(Small(installs=nowhere), tmp_path, said.append)

    assert any("no-such-package-at-all" in line for line in said)
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["install.log", "lock"]
    assert control.status(Small(installs=nowhere), tmp_path).installed is None


def test_machine_that_lacks_something(tmp_path: Path) -> None:
    """What is missing is said before anything is fetched."""

    class Needy(Small):
        def missing(self) -> str:
            """Lack."""
            return "it needs a lathe: buy one"

    with pytest.raises(LocalServerError, match="small cannot run here: it needs a lathe: buy one"):
        control.install(Needy(), tmp_path, print)

    assert not (tmp_path / "small" / "venv").exists()


def test_other_pins_are_installed_anew(state: Path) -> None:
    """What an older fastbench installed does not count."""
    assert control.status(Small(), state).installed is not None
    assert control.status(Small(installs=(("a==1",),)), state).installed is None


def test_one_at_a_time(state: Path) -> None:
    """Two at once would write into the same folder."""
    with (
        Folder(state, "small").locked(),
        pytest.raises(LocalServerError, match="small: another fastbench"),
    ):
        control.start(Small(), state, print)


def test_what_the_system_refuses_meanwhile(state: Path, said: list[str]) -> None:
    """It is one line that neither blames another fastbench nor the folder."""

    class Refused(Small):
        def prepare(self, _: Place) -> list[str]:
            raise BlockingIOError(errno.EAGAIN, "no more processes")

    with pytest.raises(LocalServerError, match=r"^small: /.*/small: no more processes$"):
        control.start(Refused(), state, said.append)


def test_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """It is one line that says which folder."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalServerError, match="Not a directory: choose --state"):
        control.install(Small(), tmp_path / "file", print)


def test_what_the_kernel_says_of_us() -> None:
    """The fields of /proc are those meant."""
    process = processes.look(os.getpid())

    assert process is not None
    assert process.session == os.getsid(0)
    assert process.state == "R"
    assert processes.look(2**22 + 1) is None
    assert sys.platform == "linux"
