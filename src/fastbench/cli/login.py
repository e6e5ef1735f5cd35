"""Where the password for a server comes from: never the command line, which ``ps`` shows."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from typer import Option

from fastbench.cli.gather import Group
from fastbench.errors import UsageError
from fastbench.password import use_password

if TYPE_CHECKING:
    from fastbench.cli.gather import Given

_OTHERS = stat.S_IRGRP | stat.S_IROTH


class Login(Group):
    """How to log in; the user is part of the URL."""

    PANEL: ClassVar[str] = "Login (the user is part of the URL)"

    password_file: Annotated[
        Path | None,
        Option(help="Its first line is the password. Default: FASTBENCH_PASSWORD, if set."),
    ] = None
    ask_password: Annotated[
        bool, Option("--ask-password", help="Ask for the password; it is not shown.")
    ] = False


def take_password(given: Given) -> None:
    """Use the password that the options name, if they do.

    Raises :class:`UsageError` where there is none.
    """
    path, ask = given.values["password_file"], given.values["ask_password"]
    if path is not None and ask:
        msg = "--password-file and --ask-password both given: choose one"
        raise UsageError(msg)
    if path is not None:
        use_password(_read(path))
    elif ask:
        use_password(_ask())


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            password = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        msg = f"--password-file {path}: cannot be read: {why}"
        raise UsageError(msg) from error
    if not password:
        msg = f"--password-file {path}: the first line is empty; write the password there"
        raise UsageError(msg)
    if stat.S_ISREG(mode) and mode & _OTHERS:
        advice = f"--password-file {path}: other users can read it; chmod 600 {path}"
        typer.echo(f"fastbench: warning: {advice}", err=True)
    return password


def _ask() -> str:
    import getpass

    if not sys.stdin.isatty():
        msg = "--ask-password: there is no terminal to ask on; use --password-file"
        raise UsageError(msg)
    try:
        password = getpass.getpass("Password: ")
    except EOFError:
        password = ""
    if not password:
        msg = "--ask-password: no password was given; leave it out to log in without one"
        raise UsageError(msg)
    return password
