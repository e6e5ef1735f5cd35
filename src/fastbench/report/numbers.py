"""How numbers are written for people: the same everywhere, plain ASCII."""

# ruff: noqa: PLR2004 - the limits of magnitude mean only what stands beside them

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def rate(value: float | None) -> str:
    """Return a rate with four or more significant digits: ``61.53``, ``615.3``, ``61,530``."""
    if value is None:
        return "-"
    decimals = 0 if value >= 1000 else 1 if value >= 100 else 2
    return f"{value:,.{decimals}f}"


def two_digits(value: float) -> str:
    """Return an estimate with two significant digits, never as a power of ten: ``590,000``."""
    return f"{float(f'{value:.2g}'):,.10g}"


def count(value: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,}"


def whole(value: float | None) -> str:
    """Return a count, or a median of counts, which may be a half."""
    return "-" if value is None else f"{value:,.10g}"


def seconds(value: float) -> str:
    """Return a duration in seconds without needless decimals: ``10 s``, ``0.25 s``."""
    return f"{value:,.4g} s" if value < 1000 else f"{value:,.0f} s"


def tenths(value: float | None) -> str:
    """Return a percentage or a size with one decimal."""
    return "-" if value is None else f"{value:,.1f}"


def cost_format(typical: float | None) -> Callable[[float | None], str]:
    """Return the format for costs around ``typical``, the same decimals for all."""
    decimals = 1 if typical is None or typical >= 10 else 3

    def form(value: float | None) -> str:
        return "-" if value is None else f"{value:,.{decimals}f}"

    return form


def milliseconds_decimals(typical_ms: float | None) -> int:
    """Return the decimals that suit latencies around ``typical_ms``."""
    if typical_ms is None:
        return 3
    return 4 if typical_ms < 0.1 else 3 if typical_ms < 1000 else 1


def milliseconds(
    value: float | None, decimals: int, *, beyond: bool = False, few: bool = False
) -> str:
    """Return a latency, ``> `` before a lower bound and ``~`` after one with few samples."""
    if value is None:
        return "-"
    if beyond and value >= 1:
        decimals = 0 if value == round(value) else decimals
    return f"{'> ' if beyond else ''}{value:,.{decimals}f}{'~' if few else ''}"


def printable(text: str) -> str:
    """Return ``text`` on one line without control characters: a server may send anything."""
    return "".join(c if c.isprintable() else " " for c in text)
