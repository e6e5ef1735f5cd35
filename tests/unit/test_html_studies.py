"""sweep.html and search.html: curves with their knees, objectives with their limits."""

from __future__ import annotations

from typing import Any

import msgspec
from support.page import Page
from support.sample_result import result
from support.sample_studies import FIGURES, MATRIX, SEARCH, SWEEP

from fastbench.knee import curves
from fastbench.report.html import search_page, sweep_page
from fastbench.report.html.about import applying
from fastbench.report.studies import SEARCH_FORMATS, SWEEP_FORMATS
from fastbench.results import LatencySummary, Spread
from fastbench.searches import Limit, Probe, SearchResult
from fastbench.sweeps import Cell, SweepResult, about

WORDS = ("console", "markdown", "html")
EVIL = "</script><script>window.harmed=1</script>"

#: Connections, inferences/s and mean response time in ms of a server that saturates at 1,000/s.
LOADS = ((1, 400.0, 2.5), (2, 700.0, 2.9), (4, 950.0, 4.2), (8, 990.0, 8.1), (16, 1000.0, 16.0))


def changed(data: Any, **fields: Any) -> Any:
    """Return a record with other values in it."""
    return msgspec.structs.replace(data, **fields)


def sweep() -> SweepResult:
    """Return a sweep with a knee; p99 at the greatest load is a lower bound."""
    cells = [
        Cell(
            name=f"connections-{load}",
            settings={"connections": load},
            status="complete",
            figures=changed(
                FIGURES,
                inferences_per_s=rate,
                inferences_per_s_spread=Spread(min=rate - 10, max=rate + 20),
                mean_response_ms=mean,
                response_ms=LatencySummary(
                    p50=mean, p95=2 * mean, p99=3 * mean, beyond=["p99"] * (load == 16)
                ),
            ),
        )
        for load, rate, mean in LOADS
    ]
    return changed(SWEEP, cells=cells, curves=curves(cells))


def search() -> SearchResult:
    """Return a search in which 100/s held and 200/s failed."""

    def probe(name: str, rate: float, value: float, outcome: str) -> Probe:
        limit = Limit(
            objective="p99<50ms",
            holds=outcome == "held",
            value=value,
            low=value - 1,
            high=value + 2,
            beyond=outcome == "failed",
        )
        return Probe(
            name=name,
            rate_per_s=rate,
            repetitions=3,
            outcome=outcome,
            reasons=[],
            limits=[limit],
            figures=FIGURES,
        )

    probes = [
        *SEARCH.probes,
        probe("02-100", 100.0, 20.0, "held"),
        probe("03-200", 200.0, 80.0, "failed"),
    ]
    return changed(
        SEARCH,
        probes=probes,
        finding="found",
        highest_held_per_s=100.0,
        lowest_failed_per_s=200.0,
        notes=["no warm-up"],
    )


def test_knee_is_a_star_on_the_curve() -> None:
    """The star stands at the throughput and p99 of the cell with the greatest power."""
    made = Page(sweep_page.render(sweep()).decode())
    traces = {t["name"]: t for t in made.plots["throughput-latency"]["traces"]}

    assert list(traces) == ["p50", "p95", "p99", "knee: connections 2"]
    assert traces["p99"]["x"] == [rate for _, rate, _ in LOADS]
    assert (traces["knee: connections 2"]["x"], traces["knee: connections 2"]["y"]) == (
        [700.0],
        [3 * 2.9],
    )
    assert "knee at connections 2" in made.sections["finding"]


def test_targets_are_compared_with_their_verdicts() -> None:
    """Each target that ran is a mark, hollow where its client was not ok; its page is linked."""
    made = Page(sweep_page.render(MATRIX).decode())
    (rate,) = made.plots["throughput"]["traces"]

    assert (rate["y"], rate["x"]) == (["redisai://a", "rest://b/p"], [100.0, 400.0])
    assert [s.endswith("-open") for s in rate["marker"]["symbol"]] == [False, True]
    assert [t["name"] for t in made.plots["latencies"]["traces"]] == ["p50", "p95", "p99"]
    assert "cannot connect to rest://c/p" in made.sections["finding"]
    assert "no curve" not in made.sections["finding"]
    assert made.table_with("cell", "client")[0][-1] == "client-ok"
    assert len(made.table_with("target", "inferences/s")) == 3


def test_targets_at_several_loads_are_curves() -> None:
    """With a load that varies too, each target has its own curve, named after it."""
    cells = [
        Cell(
            name=f"{target}-{cell.name}",
            settings={"target": target, **cell.settings},
            status="complete",
            figures=cell.figures,
        )
        for target in ("rest://a/", EVIL)
        for cell in sweep().cells
    ]
    page = sweep_page.render(changed(sweep(), cells=cells, curves=curves(cells))).decode()
    made = Page(page)

    names = [t["name"] for t in made.plots["by-load"]["traces"]]
    assert sorted(names) == [
        "target &lt;/script&gt;&lt;script&gt;window.harmed=1&lt;/script&gt;: inferences/s",
        "target rest://a/: inferences/s",
    ]
    assert "throughput" not in made.plots
    assert EVIL not in page


def test_lower_bounds_of_a_curve_are_hollow() -> None:
    """A p99 among inferences without a reply is no ordinary point, nor is its cell."""
    made = Page(sweep_page.render(sweep()).decode())
    trace = made.plots["throughput-latency"]["traces"][2]

    assert [s.endswith("-open") for s in trace["marker"]["symbol"]] == [False] * 4 + [True]
    assert made.table_with("curve", "p99, ms")[-1][-1] == "> 48"


def test_spread_and_range_of_the_knee_are_drawn() -> None:
    """Bars reach from the least to the greatest repetition; the knee's range is an area."""
    plot = Page(sweep_page.render(sweep()).decode()).plots["by-load"]
    (knee,) = [c.knee for c in sweep().curves]

    assert knee is not None
    assert plot["traces"][0]["error_y"]["array"] == [20.0] * 5
    assert plot["traces"][0]["error_y"]["arrayminus"] == [10.0] * 5
    assert (plot["layout"]["shapes"][0]["x0"], plot["layout"]["shapes"][0]["x1"]) == (
        knee.low,
        knee.high,
    )


def test_repetition_without_a_success_has_its_bar() -> None:
    """The worst case is the one that must be seen: a bar down to 0."""
    whole = sweep()
    stopped = changed(
        whole.cells[0],
        figures=changed(whole.cells[0].figures, inferences_per_s_spread=Spread(min=0.0, max=420.0)),
    )
    page = sweep_page.render(changed(whole, cells=[stopped, *whole.cells[1:]]))

    bars = Page(page.decode()).plots["by-load"]["traces"][0]["error_y"]
    assert bars["arrayminus"][0] == LOADS[0][1]


def test_every_cell_links_to_its_result() -> None:
    """The table has each cell, with the result in its folder."""
    made = Page(sweep_page.render(sweep()).decode())
    links = [a["href"] for name, a in made.tags if name == "a"]

    assert {f"connections-{load}/result.json" for load, _, _ in LOADS} <= set(links)


def test_sweep_without_a_curve_still_has_its_cells() -> None:
    """Failed cells and a sweep of no load setting are tables and words."""
    made = Page(sweep_page.render(SWEEP).decode())

    assert made.plots == {}
    assert "no curve" in made.sections["finding"]
    assert "connections-2: failed: refused" in made.sections["finding"]


def test_search_shows_probes_on_both_sides_of_the_limit() -> None:
    """What held and what failed have marks of their own, and the limit is a line."""
    made = Page(search_page.render(search()).decode())
    plot = made.plots["objective-1"]
    traces = {t["name"]: t for t in plot["traces"]}

    assert (traces["held"]["x"], traces["held"]["y"]) == ([100.0], [20.0])
    assert traces["failed"]["marker"]["symbol"] == ["square-open"]
    assert traces["failed"]["error_y"]["array"] == [2.0]
    assert plot["layout"]["shapes"][0]["y0"] == 50
    assert plot["layout"]["yaxis"]["title"]["text"] == "response p99, ms"
    assert "100/s is the highest rate found" in made.sections["finding"]
    assert "no warm-up" in made.sections["finding"]


def test_hostile_texts_stay_texts() -> None:
    """A configuration, an error or a note is shown and never run."""
    evil_sweep = changed(
        sweep(),
        config={"target": EVIL, EVIL: EVIL},
        cells=[*sweep().cells, Cell(name=EVIL, settings={"connections": 32}, error=EVIL)],
    )
    evil_search = changed(search(), config={"target": EVIL}, notes=[EVIL])

    for data in (sweep_page.render(evil_sweep), search_page.render(evil_search)):
        made = Page(data.decode())
        assert [name for name, _ in made.tags].count("script") == 3
        assert EVIL in made.text


def test_both_are_printed_by_their_format() -> None:
    """--format html is the page."""
    assert SWEEP_FORMATS["html"](sweep()) == sweep_page.render(sweep())
    assert SEARCH_FORMATS["html"](search()) == search_page.render(search())


def known(data: SweepResult) -> SweepResult:
    """Return a study whose cells that have figures say what they were of."""
    cells = [changed(c, about=about(result())) if c.figures else c for c in data.cells]
    return changed(data, cells=cells, platform={"cpu_model": "Some CPU", "cpus_logical": 2})


def test_pages_and_tables_say_what_they_are_of() -> None:
    """When, where, with which server, model and data: without it no number can be quoted."""
    swept = known(sweep())
    searched = changed(search(), about=about(result()), platform=swept.platform)
    texts = [form(swept).decode() for name, form in SWEEP_FORMATS.items() if name in WORDS]
    texts += [form(searched).decode() for name, form in SEARCH_FORMATS.items() if name in WORDS]

    for text in texts:
        plain = text.replace("\\", "")
        for fact in ("2026-01-02 03:04:05", "Some CPU", "redisai 1.2.7", "224 x 224 x 3"):
            assert fact in plain
    assert len(texts) == 6


def test_matrix_names_each_target_with_its_model() -> None:
    """What is one target's stands with it, and no cell links to a result that is not there."""
    page = Page(sweep_page.render(known(MATRIX)).decode())
    links = [a["href"] for name, a in page.tags if name == "a"]

    assert "Matrix of 3 targets" in page.text
    assert "target-redisai-a/result.json" in links
    assert "target-rest-c-p/result.json" not in links


def test_options_that_mean_nothing_are_left_out() -> None:
    """Against Triton no dialect of RedisAI is listed, against RedisAI no body."""
    config = {"form": "pipeline", "dialect": "modern", "body": "raw", "threads": 2}

    assert applying(config, ["triton+http://h:1/m"]) == {"body": "raw", "threads": 2}
    assert applying(config, ["redisai://h"]) == {k: config[k] for k in config if k != "body"}
    assert applying(config, ["redisai://h", "rest://h/p"]) == config
    assert applying(config, []) == config


def test_lines_are_at_most_100_columns() -> None:
    """Long names of targets stand above their row."""
    url = f"triton+http://127.0.0.1:40001/{'long_name_' * 6}"
    cells = [changed(c, settings={"target": f"{url}{i}"}) for i, c in enumerate(MATRIX.cells)]
    long = changed(known(MATRIX), cells=cells)
    lines = SWEEP_FORMATS["console"](long).decode().splitlines()

    assert max(map(len, lines)) <= 100
    assert f"{url}0" in lines
    assert lines[lines.index(f"{url}0") + 1].split()[0] == "100.0"


def test_sweep_of_commands_counts_commands() -> None:
    """No table or page of it speaks of inferences."""
    commands = changed(sweep(), config={"workload": "command", "target": "redis://h"})
    text = SWEEP_FORMATS["console"](commands).decode()
    made = Page(sweep_page.render(commands).decode())

    assert "commands/s" in text
    assert "inference" not in text + made.text.partition("{")[0]
    assert made.plots["by-load"]["layout"]["yaxis"]["title"]["text"] == "commands/s"
