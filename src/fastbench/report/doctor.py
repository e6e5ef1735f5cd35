"""The check-up of a machine for people: what it is, then what to change."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from fastbench.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.doctor import Checkup, Finding

WIDTH = 100
NETWORK = (
    "The path to the server is not judged here: measure it with fastbench net serve there and "
    "fastbench net HOST:PORT here."
)


def render(checkup: Checkup) -> str:
    """Return the check-up as plain text of 100 columns."""
    return "\n".join(_lines(checkup)) + "\n"


def _lines(checkup: Checkup) -> Iterator[str]:
    yield "platform"
    for key, value in checkup.platform.items():
        yield from _wrapped(f"  {key}: ", _text(value))
    for finding in checkup.findings:
        yield from _finding(finding)
    if not checkup.findings:
        yield "\nnothing to change"
    yield ""
    if checkup.unknown:
        yield from _wrapped("not told by this machine: ", ", ".join(checkup.unknown))
    yield from _wrapped("", NETWORK)


def _finding(finding: Finding) -> Iterator[str]:
    yield ""
    yield from _wrapped(f"[{finding.severity}] {finding.code}: ", finding.what)
    for name in ("why", "fix", "gain"):
        yield from _wrapped(f"    {name}: ", getattr(finding, name))


def _wrapped(head: str, text: str) -> list[str]:
    whole = numbers.printable(head + text)
    return textwrap.wrap(
        whole, WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False, drop_whitespace=True
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(_text(part) for part in value)
    if value is None or isinstance(value, bool):
        return {None: "unlimited", True: "yes", False: "no"}[value]
    return str(value)
