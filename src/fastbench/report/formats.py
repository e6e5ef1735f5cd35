"""The formats in which a result can be printed: ``--format`` of run, command and report.

Adding one is a file with ``render(result) -> bytes`` and a line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import console, csvfile, markdown, prometheus
from fastbench.report.html import result_page
from fastbench.report.printing import check_name, print_bytes
from fastbench.results import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.results import Result

CONSOLE = "console"

#: Everything but the console report, which is fitted to the terminal.
FORMATS: dict[str, Callable[[Result], bytes]] = {
    "json": to_json,
    "markdown": markdown.render,
    "csv": csvfile.render,
    "prometheus": prometheus.render,
    "html": result_page.render,
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names all formats where ``name`` is none of them."""
    check_name(name, (CONSOLE, *FORMATS))


def print_result(result: Result, name: str) -> None:
    """Print ``result`` to standard output in the format ``name``, and nothing else.

    Raises :class:`UsageError` where there is no such format.
    """
    check_format(name)
    if name == CONSOLE:
        console.print_report(result)
    else:
        print_bytes(FORMATS[name](result))
