"""An HTML page taken apart by the standard library: what stands on it, and what could harm."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from fastbench.report.html import result_page

if TYPE_CHECKING:
    from fastbench.results import Result

VOID = {"meta", "br", "wbr"}


@dataclass
class Page(HTMLParser):
    """A page: ``tags`` in order as (name, attributes), ``data`` as (path, value, text).

    ``sections``: text by id. ``tables``: rows of cell texts, in order. ``scripts``: their texts.
    ``text``: everything outside scripts and style.
    """

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    data: list[tuple[str, str, str]] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    tables: list[list[list[str]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""
    _open: list[str] = field(default_factory=list)
    _section: str = ""

    def __post_init__(self) -> None:
        """Read the page; fails where elements are not closed in order."""
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = attributes["id"] or ""
            self.sections[self._section] = ""
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        elif tag == "data":
            self.data.append((attributes["data-path"] or "", attributes["value"] or "", ""))
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        """Note a text where it belongs."""
        inside = self._open[-1] if self._open else ""
        if inside in {"script", "style"}:
            self.scripts[-1:] = [self.scripts[-1] + data] if inside == "script" else []
            return
        self.text += data
        if self._section:
            self.sections[self._section] += data
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data
        if inside == "data":
            path, value, text = self.data[-1]
            self.data[-1] = (path, value, text + data)

    @property
    def plots(self) -> dict[str, dict[str, Any]]:
        """What the page's script draws, by name."""
        return {plot["name"]: plot for plot in json.loads(self.scripts[0])}

    def table_with(self, *columns: str) -> list[list[str]]:
        """Return the rows below the head of the first table that has these columns."""
        return next(t[1:] for t in self.tables if t and set(columns) <= set(t[0]))


def page(result: Result) -> Page:
    """Return the page of a result."""
    return Page(result_page.render(result).decode())


def at(document: Any, path: str) -> Any:
    """Return what stands at a dotted path of a JSON document."""
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document
