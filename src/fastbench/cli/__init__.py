"""The command line: one file per command, arguments to calls; errors become one line here."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from fastbench.cli import (
    command,
    compare,
    data,
    doctor,
    matrix,
    model,
    net,
    null_server,
    onnx_suite,
    report,
    run,
    saturate,
    search,
    serve,
    servers,
    sweep,
)
from fastbench.errors import EXIT_INTERRUPTED, FastbenchError

#: What the parser says where a number is wanted and there is none.
_NO_NUMBER = "Input should be a valid number, unable to parse string as a number"

app = typer.Typer(
    name="fastbench",
    help="Benchmark client for AI model servers that judges, with evidence, whether the client "
    "itself was the bottleneck.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("command")(command.command)
app.add_typer(sweep.app, name="sweep")
app.add_typer(search.app, name="search")
app.command("matrix")(matrix.matrix)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")
app.command("onnx-suite", cls=onnx_suite.Underscores)(onnx_suite.onnx_suite)
app.command("serve")(serve.serve)
app.add_typer(servers.app, name="servers")
app.command("saturate")(saturate.saturate)
app.command("null-server")(null_server.null_server)
app.add_typer(net.app, name="net")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from fastbench import __version__

        typer.echo(f"fastbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; whatever goes wrong ends in one red line and its exit code."""
    try:
        code = app(standalone_mode=False)
    except FastbenchError as error:
        code = _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        code = _fail(_usage(error), error.exit_code)
    if code == EXIT_INTERRUPTED:
        _fail("interrupted", code)
    sys.exit(code)


def _usage(error: typer.TyperException) -> str:
    """Say what is wrong with the arguments; nothing where the help was printed instead."""
    text, context = error.format_message(), getattr(error, "ctx", None)
    if _NO_NUMBER in text:
        unit = getattr(getattr(error, "param", None), "metavar", None)
        of = f" of {unit.lower()}, without a unit" if unit else ""
        text = text.replace(_NO_NUMBER, f"must be a number{of}")
    return f"{text} (see {context.command_path} --help)" if text and context else text


def _fail(text: str, code: int) -> int:
    """Print the error on one line, whatever bytes a server has put into it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if line:
        line = f"fastbench: {line}"
        plain = bool(os.environ.get("NO_COLOR"))
        typer.echo(line if plain else typer.style(line, fg=typer.colors.RED), err=True)
    return code
