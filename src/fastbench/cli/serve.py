"""``fastbench serve``: the embedded RedisAI server in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.errors import UsageError

PASSWORD_VARIABLE = "FASTBENCH_REQUIREPASS"  # noqa: S105  the name, not the password


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 6379,
    unix: Annotated[Path | None, typer.Option(help="Unix socket, instead of TCP.")] = None,
    requirepass: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File with the password that clients must give; or set {PASSWORD_VARIABLE}.",
        ),
    ] = None,
    threads_per_queue: Annotated[
        int, typer.Option(min=1, max=256, help="Inferences at a time on each device.")
    ] = 1,
    intra_op: Annotated[
        int, typer.Option(min=0, max=1024, help="Threads of one inference; 0: one per core.")
    ] = 0,
    announce: Annotated[
        bool, typer.Option("--announce", help="Print the ready line on stdout, for a program.")
    ] = False,
    watch_stdin: Annotated[
        bool, typer.Option("--watch-stdin", help="End when stdin ends, as its starter does.")
    ] = False,
) -> None:
    """Serve models as RedisAI does, for trying things out; Ctrl-C ends it."""
    from fastbench.serve.server import Listen, run_server
    from fastbench.serve.state import Settings

    settings = Settings(
        threads_per_queue=threads_per_queue,
        intra_op=intra_op,
        password=_password(requirepass),
    )
    path = None if unix is None else str(unix)
    listen = Listen(host=host, port=port, unix=path, settings=settings)
    run_server(listen, announce=announce, watch_stdin=watch_stdin)


def _password(file: Path | None) -> str | None:
    """Return the password: from the file's first line or the environment; None = none wanted."""
    import os

    if file is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        password = file.read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as e:
        msg = f"--requirepass {file}: cannot be read: {e}"
        raise UsageError(msg) from e
    if not password:
        msg = f"--requirepass {file}: the first line is empty"
        raise UsageError(msg)
    return password
