"""The formats in which a client-saturation test can be printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench import versioned
from fastbench.report import saturation
from fastbench.report.html import saturation_page
from fastbench.report.printing import check_name, print_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.saturations import Saturation

FORMATS: dict[str, Callable[[Saturation], bytes]] = {
    "console": lambda test: saturation.console(test).encode(),
    "json": versioned.to_json,
    "markdown": saturation.markdown,
    "html": saturation_page.render,
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names the formats where ``name`` is none of them."""
    check_name(name, FORMATS)


def print_saturation(test: Saturation, name: str) -> None:
    """Print the test to standard output in the format ``name``, and nothing else."""
    print_bytes(FORMATS[name](test))
