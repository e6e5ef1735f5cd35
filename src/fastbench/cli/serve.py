"""``fastbench serve``: the embedded RedisAI server in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fastbench.cli.options import check_numeric_host
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSWORD_VARIABLE = "FASTBENCH_REQUIREPASS"  # noqa: S105  the name, not the password


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="0: any free port. Default: 6379, with --rest 8000."),
    ] = None,
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
    rest: Annotated[
        bool,
        typer.Option("--rest", help="HTTP by Flask and gunicorn instead; both must be installed."),
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="With --rest: built-in model or ONNX file; may be repeated."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="With --rest: processes.")] = 1,
    announce: Annotated[
        bool, typer.Option("--announce", help="Print the ready line on stdout, for a program.")
    ] = False,
    watch_stdin: Annotated[
        bool, typer.Option("--watch-stdin", help="End when stdin ends, as its starter does.")
    ] = False,
) -> None:
    """Serve models as RedisAI does, or over REST, for trying things out; Ctrl-C ends it."""
    if rest:
        if unix is not None or requirepass is not None or announce or watch_stdin:
            msg = "--rest: goes with --host, --port, --model, --workers and --threads-per-queue, "
            raise UsageError(msg + "--intra-op only")
        _serve_rest(
            models or (), host, 8000 if port is None else port, workers, threads_per_queue, intra_op
        )
    from fastbench.serve.server import Listen, run_server
    from fastbench.serve.state import Settings

    settings = Settings(
        threads_per_queue=threads_per_queue,
        intra_op=intra_op,
        password=_password(requirepass),
    )
    path = None if unix is None else str(unix)
    listen = Listen(host=host, port=6379 if port is None else port, unix=path, settings=settings)
    run_server(listen, announce=announce, watch_stdin=watch_stdin)


def _serve_rest(
    names: Sequence[str], host: str, port: int, workers: int, threads: int, intra_op: int
) -> NoReturn:
    from fastbench.models.loading import load_model
    from fastbench.serve.rest import run_gunicorn
    from fastbench.workloads.vision import MODEL

    check_numeric_host(host)
    models = [load_model(name) for name in names or (MODEL,)]
    other = next((model for model in models if model.backend != "ONNX"), None)
    if other is not None:
        msg = f"--model {other.name}: --rest serves ONNX models only, this is {other.backend}"
        raise UsageError(msg)
    run_gunicorn(
        {model.name: str(model.path) for model in models},
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        intra_op=intra_op,
    )


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
