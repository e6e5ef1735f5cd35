"""Bars and sparklines of one character per value, in Unicode blocks or plain ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"
EIGHTHS = " ▏▎▍▌▋▊▉█"


def spark(values: Iterable[float], top: float, *, ascii_only: bool = False) -> str:
    """Return a character per value, its height in eighths of ``top``; only zero is a blank."""
    levels = ASCII if ascii_only else BLOCKS
    return "".join(levels[_level(value, top)] for value in values)


def bar(fraction: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` characters that is full up to ``fraction`` (0 to 1)."""
    filled = min(max(fraction, 0.0), 1.0) * width
    if ascii_only:
        return ("#" * round(filled)).ljust(width, ".")
    whole = int(filled)
    rest = EIGHTHS[int(8 * (filled - whole))] if whole < width else ""
    return ("█" * whole + rest).ljust(width)[:width]


def _level(value: float, top: float) -> int:
    if value <= 0 or top <= 0:
        return 0
    return max(1, min(8, round(8 * value / top)))
