"""The formats in which a comparison can be printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import comparing
from fastbench.report.html import compare_page
from fastbench.report.printing import check_name, print_bytes
from fastbench.versioned import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.comparison import Comparison
    from fastbench.results import Result

CONSOLE = "console"

#: Everything but the console's; the page also draws the results themselves.
FORMATS: dict[str, Callable[[Comparison, Sequence[Result]], bytes]] = {
    "markdown": lambda comparison, _: comparing.render_markdown(comparison),
    "json": lambda comparison, _: to_json(comparison),
    "html": compare_page.render,
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names all formats where ``name`` is none of them."""
    check_name(name, (CONSOLE, *FORMATS))


def print_comparison(comparison: Comparison, results: Sequence[Result], name: str) -> None:
    """Print a comparison of ``results`` to standard output in the format ``name`` alone."""
    if name == CONSOLE:
        comparing.print_console(comparison)
    else:
        print_bytes(FORMATS[name](comparison, results))
