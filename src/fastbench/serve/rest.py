"""``fastbench serve --rest``: gunicorn in place of this process, with the reference app."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "fastbench.serve.rest_app:create_app"
KEEP_ALIVE_S = 75  # as nginx has it; gunicorn's own 2 s end connections between two runs


def run_gunicorn(
    models: Mapping[str, str], *, host: str, port: int, workers: int, threads: int, intra_op: int
) -> NoReturn:
    """Become gunicorn with ``workers`` processes of ``threads`` threads each.

    ``models``: names to paths of ONNX files. Raises :class:`UsageError` where the optional extra is
    not installed.
    """
    missing = [name for name in ("flask", "gunicorn") if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"--rest needs {' and '.join(missing)}: pip install flask gunicorn"
        raise UsageError(msg)
    words = [sys.executable, *gunicorn_words(host, port, workers, threads), *_no_control_socket()]
    words += [f"{APP}({dict(models)!r}, {intra_op})"]
    os.execv(sys.executable, words)  # noqa: S606 - our own words, and no shell


def gunicorn_words(host: str, port: int, workers: int, threads: int) -> list[str]:
    """Return what stands between a Python and an app to serve that by gunicorn."""
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    words = ["-m", "gunicorn", "--bind", bind, "--workers", str(workers)]
    words += ["--worker-class", "gthread", "--threads", str(threads)]
    return [*words, "--keep-alive", str(KEEP_ALIVE_S)]


def _no_control_socket() -> list[str]:
    """Return the flag for versions that would leave one in the home directory."""
    from gunicorn.config import KNOWN_SETTINGS

    flag = "--no-control-socket"
    return [flag] if any(flag in (setting.cli or ()) for setting in KNOWN_SETTINGS) else []
