"""Where the password comes from, and that it is shown nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fastbench.cli.gather import Given
from fastbench.cli.login import take_password
from fastbench.errors import UsageError
from fastbench.password import PASSWORD_VARIABLE, hidden, password

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an environment whose password is undone after it."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "from-environment")


def given(path: Path | None = None, *, ask: bool = False) -> Given:
    """Return what a command was given."""
    return Given({"password_file": path, "ask_password": ask}, frozenset())


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\nanother\n"])
def test_first_line_of_a_private_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """The first line without its end is the password; a private file gives no warning."""
    path = tmp_path / "p"
    path.write_bytes(text.encode())
    path.chmod(0o600)

    take_password(given(path))

    assert password() == "s3cret"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_file_that_others_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    """A file that others can read is used, with a warning that says what to do."""
    path = tmp_path / "p"
    path.write_text("s3cret\n")
    path.chmod(mode)

    take_password(given(path))

    line = capsys.readouterr().err
    assert password() == "s3cret"
    assert "chmod 600" in line
    assert "s3cret" not in line


def test_without_options_the_environment_stays() -> None:
    """The environment variable is the default."""
    take_password(given())

    assert password() == "from-environment"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "first line is empty"), (b"\n x", "empty"), (b"\xff", "UTF-8")],
)
def test_unusable_file(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file without a password is refused by name."""
    path = tmp_path / "p"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=words) as refused:
        take_password(given(path))

    assert str(path) in str(refused.value)


def test_both_options(tmp_path: Path) -> None:
    """Two sources are one too many."""
    with pytest.raises(UsageError, match="choose one"):
        take_password(given(tmp_path / "p", ask=True))


def test_asking_without_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is read from a pipe that happens to be standard input."""
    (tmp_path / "in").write_text("s3cret\n")
    with (tmp_path / "in").open() as pipe:
        monkeypatch.setattr("sys.stdin", pipe)

        with pytest.raises(UsageError, match="no terminal"):
            take_password(given(ask=True))


def test_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is replaced wherever it stands in a text; without one nothing changes."""
    assert hidden("AUTH 'from-environment' from-environmentX") == "AUTH '***' ***X"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert hidden("as it is") == "as it is"


def test_hidden_where_it_was_cut() -> None:
    """A text that ends within the password ends with its place; short beginnings may be words."""
    assert hidden("no user with from-envir") == "no user with ***"
    assert hidden("where is it from") == "where is it from"
