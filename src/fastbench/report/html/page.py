"""The page around the sections: style, script and plotly.js inside it, nothing loaded from afar."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec

from fastbench.report.html.elements import Html, element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.plots import Section

#: Forbids every request, whatever a text in the page or plotly.js might try.
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def page(title: str, head: Html, sections: Sequence[Section]) -> bytes:
    """Return the page as UTF-8: ``head``, a list of contents, the sections, then the script.

    The text comes before plotly.js, so that it can be read while the plots are being made.
    """
    plots = [plot.data() for section in sections for plot in section.plots]
    body = element(
        "body",
        element("header", element("h1", title), head, _contents(sections)),
        element("main", *(section.markup() for section in sections)),
        element("noscript", "The plots need JavaScript; their numbers are in the tables."),
        _script(_data(plots), type="application/json", id="plot-data"),
        _script(files("plotly").joinpath("package_data", "plotly.min.js").read_text("utf-8")),
        _script(_asset("page.js")),
    )
    whole = element("html", _head(title), body, lang="en")
    return f"<!DOCTYPE html>\n{whole}\n".encode()


def _head(title: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_asset("style.css"))),
    )


def _contents(sections: Sequence[Section]) -> Html:
    links = (element("a", section.title, href=f"#{section.name}") for section in sections)
    return element("nav", *links, aria_label="Contents")


def _script(code: str, **attributes: str) -> Html:
    """Return a script element; what would end it early is written in another way."""
    safe = code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return element("script", Html(safe), **attributes)


def _data(plots: list[dict[str, object]]) -> str:
    return msgspec.json.encode(plots).decode().replace("<", "\\u003c")


def _asset(name: str) -> str:
    return files("fastbench.report.html").joinpath("assets", name).read_text("utf-8")
