"""``fastbench null-server``: answers every request at once, to find the client's own ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastbench.cli import options
from fastbench.errors import UsageError
from fastbench.plan import PROTOCOL_GRPC, PROTOCOL_HTTP, PROTOCOL_RESP


def null_server(
    host: Annotated[str, typer.Option(help="Numeric address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    unix: Annotated[Path | None, typer.Option(help="Unix socket, instead of TCP.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Native threads.")] = 1,
    http: Annotated[bool, typer.Option("--http", help="Speak HTTP/1.1, not RESP.")] = False,
    grpc: Annotated[bool, typer.Option("--grpc", help="Speak gRPC, not RESP.")] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Over TLS, with a certificate that nobody trusts.")
    ] = False,
    tls_suite: Annotated[
        str | None,
        typer.Option(help="Over TLS with this cipher only, e.g. TLS_AES_256_GCM_SHA384."),
    ] = None,
    reply_bytes: Annotated[
        int,
        typer.Option(
            min=0,
            max=1 << 30,
            help="Bytes of each tensor or value that is read back, body or message.",
        ),
    ] = 4004,
    always_bulk: Annotated[
        bool,
        typer.Option("--always-bulk", help="RESP: answer so to every command, not only reads."),
    ] = False,
) -> None:
    """Answer requests at once with replies of the right shape; Ctrl-C ends it."""
    import signal

    from fastbench._nullserver import NullServer
    from fastbench.null_servers import NAMED

    options.check_numeric_host(host)
    protocol = _protocol(http=http, grpc=grpc, always_bulk=always_bulk)
    suite = _suite(tls_suite, tls=tls, unix=unix is not None)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # they are waited for below
    path = None if unix is None else str(unix)
    with NullServer(
        host,
        port,
        path,
        threads,
        reply_bytes=reply_bytes,
        always_bulk=always_bulk,
        protocol=protocol,
        answers=(NAMED,) if grpc else (),
        tls_suite=suite,
    ) as server:
        where = f"unix:{path}" if path else f"{host}:{server.port}"
        typer.echo(f"fastbench null-server: ready on {where}{', over TLS' * (suite is not None)}")
        signal.sigwait(ends)
        for index, (cpu_s, requests, received) in enumerate(server.stats()):
            typer.echo(f"thread {index}: {requests} requests, {received} bytes, {cpu_s:.3f} s CPU")


def _protocol(*, http: bool, grpc: bool, always_bulk: bool) -> int:
    """Return the protocol of a plan. Raises :class:`UsageError` for what does not go together."""
    if http and grpc:
        msg = "--http and --grpc both given: a null server speaks one; start one of each"
        raise UsageError(msg)
    if always_bulk and (http or grpc):
        given = "--http" if http else "--grpc"
        msg = f"{given} and --always-bulk both given: every reply over it has its bytes anyway"
        raise UsageError(msg)
    if grpc:
        return PROTOCOL_GRPC
    return PROTOCOL_HTTP if http else PROTOCOL_RESP


def _suite(suite: str | None, *, tls: bool, unix: bool) -> str | None:
    """Return the cipher; None = no TLS, empty = any. Raises :class:`UsageError` on unix sockets."""
    if suite is None and not tls:
        return None
    if unix:
        msg = "--unix and TLS both given: no target is over TLS on a unix socket"
        raise UsageError(msg)
    return suite or ""
