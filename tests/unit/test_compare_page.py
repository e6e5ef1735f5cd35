"""The comparison as a page: the same cells as in the console, marks at the right places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.page import Page
from support.sample_result import repetition, result, run_with

from fastbench.compare.build import compare
from fastbench.report import comparing
from fastbench.report.comparison_formats import FORMATS
from fastbench.report.html.compare_page import WIDE

if TYPE_CHECKING:
    from fastbench.results import Result


def results() -> list[tuple[str, Result]]:
    """Return three fair runs; the last has another name for its model, and a hostile one."""
    names = ("base", "same", "<script>alert(1)</script>")
    return [(name, result(*(repetition(n) for n in (1, 2, 3)))) for name in names]


def page() -> tuple[Page, list[list[str]]]:
    """Return the page, and the cells that the console shows."""
    named = results()
    comparison = compare(named, [])
    rendered = FORMATS["html"](comparison, [r for _, r in named])
    cells = [list(comparing.row(c)) for one in comparison.candidates for c in one.changes]
    return Page(rendered.decode()), cells


def test_cells_are_those_of_the_console() -> None:
    """Every row of the console's tables stands in a table of the page."""
    made, cells = page()
    rows = [row for table in made.tables for row in table]

    assert cells
    assert [row for row in cells if row not in rows] == []


def test_each_candidate_and_the_overlay_are_drawn() -> None:
    """A plot of changes for each candidate, one with all spectra; marks lie at the changes."""
    made, _ = page()
    plots = json.loads(next(s for s in made.scripts if s.startswith("[{")))

    assert [p["name"] for p in plots] == ["changes-1", "changes-2", "overlay"]
    marks = [trace for trace in plots[0]["traces"] if trace["x"]]
    assert all(abs(x) < 1e-9 for trace in marks for x in trace["x"])
    shown = [t["name"] for t in plots[2]["traces"] if t.get("visible", True) is True]
    assert len(shown) >= len(results())


@pytest.mark.parametrize(("values", "cut"), [([10.0, 40.0], True), ([10.0, 10.1], False)])
def test_very_wide_intervals_do_not_hide_the_others(values: list[float], *, cut: bool) -> None:
    """The axis ends at changes that can be told apart; intervals that fit are shown whole."""
    runs = [run_with([10.0, 10.2]), run_with(values)]
    comparison = compare([("a", runs[0]), ("b", runs[1])])
    made = Page(FORMATS["html"](comparison, runs).decode())
    plots = json.loads(next(s for s in made.scripts if s.startswith("[{")))

    limits = plots[0]["layout"]["xaxis"].get("range")
    assert (limits is not None) == cut
    assert limits is None or limits[1] >= 2 * WIDE


def test_hostile_names_stay_text() -> None:
    """A folder may have any name; it never becomes markup."""
    made, _ = page()

    assert "<script>alert(1)</script>" in made.text
    assert "<script>alert(1)" not in made.source
