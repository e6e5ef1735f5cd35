"""The formats in which a client-saturation test can be printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastbench import versioned
from fastbench.errors import UsageError
from fastbench.report import saturation
from fastbench.report.html import saturation_page

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
    if name not in FORMATS:
        msg = f"--format {name!r}: choose {', '.join(FORMATS)}"
        raise UsageError(msg)


def print_saturation(test: Saturation, name: str) -> None:
    """Print the test to standard output in the format ``name``, and nothing else."""
    sys.stdout.flush()
    sys.stdout.buffer.write(FORMATS[name](test))
    sys.stdout.flush()
