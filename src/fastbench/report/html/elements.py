"""HTML as values: text is escaped unless it is :class:`Html`, so nothing hostile gets through."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

import msgspec

from fastbench.report.numbers import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Elements that have no content and no end tag.
_VOID: Final = frozenset({"meta", "br", "wbr"})

_OPTION: Final = re.compile(r"--[a-z][a-z-]*")

#: A cell of a table: text to be escaped, markup, a number written as it is, or nothing.
Cell = str | float | int | None


class Html(str):
    """Markup that is safe as it stands."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | None) -> Html:
    """Return ``<name ...>children</name>``; plain strings among ``children`` are escaped.

    An attribute's name loses a trailing underscore (``class_``) and other underscores become
    hyphens; None leaves it out and "" is an attribute without a value.
    """
    head = name + "".join(_attribute(key, v) for key, v in attributes.items() if v is not None)
    if name in _VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{join(children)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Return the parts one after the other, escaping those that are not markup."""
    return Html(between.join(escape(part) for part in parts))


def escape(text: str) -> Html:
    """Return ``text`` as markup: one line without control characters, unless it is markup."""
    return text if isinstance(text, Html) else Html(html.escape(printable(text)))


def advice(text: str) -> Html:
    """Return ``text`` as markup in which no line breaks within the name of an option."""
    return Html(_OPTION.sub(r'<span class="option">\g<0></span>', escape(text)))


def figure_of(path: str, value: float | str | None, text: str) -> Html:
    """Return ``text`` as the reading of the exact ``value`` at ``path`` of ``result.json``.

    The element is ``<data>`` with ``data-path`` (dotted, list indexes from 0), so that a program
    can read the page's numbers; without a value it is the text alone.
    """
    if value is None:
        return escape(text)
    exact = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return element("data", text, value=exact, data_path=path)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], **attributes: str) -> Html:
    """Return a table that scrolls sideways where it is too wide; the first column is its head."""
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    body = (element("tr", *_cells(row)) for row in rows)
    whole = element("table", element("thead", head), element("tbody", *body), **attributes)
    return element("div", whole, class_="scroll", tabindex="0")


def without_empty(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> tuple[list[str], list[list[Cell]]]:
    """Return the columns, and their cells, in which some row has something."""
    kept = [k for k in range(len(columns)) if any(row[k] is not None for row in rows)]
    return [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _cells(row: Sequence[Cell]) -> Iterable[Html]:
    for index, cell in enumerate(row):
        if index:
            yield element("td", cell_text(cell))
        else:
            yield element("th", cell_text(cell), scope="row")


def cell_text(cell: Cell) -> str:
    """Return a cell's text: numbers as in ``result.json``, "-" for nothing."""
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else msgspec.json.encode(cell).decode()


def _attribute(name: str, value: str) -> str:
    name = name.removesuffix("_").replace("_", "-")
    return f' {name}="{html.escape(printable(value))}"' if value else f" {name}"
