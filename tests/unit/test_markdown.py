"""The Markdown report, read by a CommonMark parser as GitHub would."""

from __future__ import annotations

import msgspec
import pytest
from markdown_it import MarkdownIt
from support.sample_result import result
from support.streams_result import with_streams

from fastbench.report import markdown, rows
from fastbench.results import Evidence, Result, Verdict, Warning

VERDICT = Verdict(
    verdict="suspect",
    evidence=[
        Evidence(name="headroom", status="suspect", figure="1.4", threshold="2", advice="add | t")
    ],
)


def tables(text: str) -> list[list[list[str]]]:
    """Return each table as rows of the texts in its cells."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level > 2:
            found[-1][-1].append("".join(c.content for c in token.children or []))
    return found


def rendered(data: Result) -> str:
    """Return the report as text."""
    return markdown.render(data).decode()


def test_every_cell_of_the_console_report_is_there() -> None:
    """Each row of measurements and outcomes has the same texts in its cells."""
    data = with_streams()
    body = [row for table in tables(rendered(data)) for row in table]

    for made in (rows.measurements(data), rows.outcomes(data)):
        for row in made.rows:
            if row.cells:
                ends = [row.ends] if made.spread else []
                assert [row.label.strip(), *row.cells, row.summary, *ends] in body


def test_tables_are_regular() -> None:
    """No table has a row with more or fewer cells than its header."""
    for table in tables(rendered(with_streams(VERDICT))):
        assert {len(row) for row in table} == {len(table[0])}


def test_one_repetition_has_no_median() -> None:
    """Where there is nothing to summarise there is no column for it."""
    text = rendered(result(result().repetitions[0]))

    assert "median" not in text
    assert ["p50", "2.984"] in [row for table in tables(text) for row in table]


@pytest.mark.parametrize(("verdict", "says"), [(None, "not judged"), (VERDICT, "suspect")])
def test_the_verdict_comes_first(verdict: Verdict | None, says: str) -> None:
    """Before any number it is said whether the client was the bottleneck."""
    text = rendered(with_streams(verdict))

    first = text.split("**")[1]
    assert first == f"Verdict: {says}"
    evidence = ["headroom", "suspect", "1.4", "2", "add | t"]
    assert (evidence in tables(text)[0]) == (verdict is not None)


def test_streams_have_a_row_each() -> None:
    """A name with markup in it is shown as it is."""
    body = [row for table in tables(rendered(with_streams())) for row in table]

    assert [row[0] for row in body if row[0] in {"get", 'se|t "x"'}] == ["get", 'se|t "x"']


def test_what_a_server_sends_is_not_markup() -> None:
    """Texts cannot end a table, make a link or HTML."""
    hostile = "a | b\n\n# <script>x</script> [l](http://x) `c` *d*"
    data = msgspec.structs.replace(
        with_streams(), warnings=[Warning(code="errors", message=hostile)], error=hostile
    )
    text = rendered(data)

    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html
    assert "<a " not in html
    assert "<em>" not in html
    assert [row for t in tables(text) for row in t if row[0] == "errors" and "script" in row[1]]


def test_run_without_a_repetition() -> None:
    """A run that never measured says so."""
    data = msgspec.structs.replace(result(), repetitions=[], summary=None, dataset=None)

    assert "no inference succeeded" in rendered(data)
