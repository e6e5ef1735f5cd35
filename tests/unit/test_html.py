"""report.html: what stands on the page, that it is the result's, and that nothing hostile runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.full_result import changed, full, hostile, threads
from support.page import at, page
from support.sample_result import interval, latency_of, repetition, result, samples_ns

from fastbench.report.html import result_page
from fastbench.report.html.elements import advice
from fastbench.report.html.plots import COLOURS, DASHES, MAX_ROWS, SYMBOLS
from fastbench.report.html.spectrum import spectrum_of
from fastbench.results import (
    QUANTILES,
    Interval,
    Latency,
    Repetition,
    Result,
    StepResult,
    ThreadUsage,
    from_json,
    to_json,
)


def failing() -> Result:
    """Return a partial run with errors and time-outs in its second repetition."""
    return result(repetition(1), repetition(2, timeouts=50, errors=12), status="partial")


def test_names_of_options_stay_whole() -> None:
    """No line of an advice breaks after the hyphens of an option; the rest is escaped text."""
    assert advice("a --b-c < -- d") == 'a <span class="option">--b-c</span> &lt; -- d'


def test_sections_are_in_reading_order() -> None:
    """The verdict comes first, then the headline and the doubts; the platform comes late."""
    ids = list(page(full()).sections)

    assert ids == [
        *("verdict", "headline", "warnings", "plots", "streams", "errors", "usage", "server"),
        *("numbers", "about", "terms"),
    ]


@pytest.mark.parametrize("make", [result, failing, full])
def test_every_marked_number_equals_the_result(make: Any) -> None:
    """Each ``<data>`` names its place in result.json and holds exactly what stands there."""
    data = make()
    document = json.loads(to_json(data))
    found = page(data).data

    assert len(found) > 15
    for path, value, text in found:
        assert json.loads(value) == at(document, path), path
        assert text.strip("~> ")


def test_headline_reads_as_the_console_does() -> None:
    """Rate, quantiles and failures are rounded and marked as everywhere else."""
    shown = {path: text for path, _, text in page(failing()).data}

    assert shown["summary.inferences_per_s"] == "1,002"
    assert shown["summary.response_ms.spread.p99.max"] == "> 30,000"
    assert not shown["summary.response_ms.spread.p99.min"].startswith(">")
    assert shown["summary.response_ms.p999"].endswith("~")
    assert "62" in page(failing()).sections["headline"]


def test_interval_of_the_median_stands_with_its_spread() -> None:
    """From six repetitions on each median has its interval, the numbers those of the result."""
    data = result(*[repetition(n) for n in range(1, 7)])
    shown = {path: value for path, value, _ in page(data).data}

    assert data.summary is not None
    for end in ("low", "high"):
        path = f"summary.inferences_per_s_spread.{end}"
        assert json.loads(shown[path]) == getattr(data.summary.inferences_per_s_spread, end)
    assert "summary.response_ms.spread.p99.low" in shown


def test_verdict_shows_each_figure_beside_its_threshold() -> None:
    """A row of evidence holds name, status, figure, threshold and what to do."""
    made = page(full())

    assert made.table_with("figure", "threshold") == [
        ["headroom", "? suspect", "1.1 times", "at least 1.25 times", "use more threads"]
    ]
    assert "suspect: the client may have been the bottleneck" in made.sections["verdict"]
    assert "5,000" in made.sections["verdict"]
    assert "at least 4,000/s" in made.sections["verdict"]


def test_absent_verdict_is_said() -> None:
    """A result that was not judged does not look like a good one."""
    made = page(result())

    assert "not judged" in made.sections["verdict"]
    assert "client-ok" not in made.sections["verdict"]


def test_early_end_is_said_before_everything_else() -> None:
    """Status and reason of a run that broke stand above the verdict."""
    made = page(full())

    assert "PARTIAL" in made.text
    assert made.text.index("ended early: it broke") < made.text.index("bottleneck?")


def test_hostile_texts_stay_texts() -> None:
    """Markup from a server, a model's name or a configuration is shown and never run."""
    made = page(hostile())

    names = [name for name, _ in made.tags]
    assert names.count("script") == 3
    assert not {"img", "iframe", "object", "embed", "link", "base", "form"} & set(names)
    assert not [a for _, attributes in made.tags for a in attributes if a.startswith("on")]
    assert made.text.count("<script>window.harmed=1") > 20
    assert "\x1b" not in made.text
    for plot in made.plots.values():
        titles = [trace["name"] for trace in plot["traces"]]
        assert "<" not in "".join(titles), "plotly.js would take it for markup"


def test_page_needs_nothing_from_elsewhere() -> None:
    """No element loads anything, and a policy forbids what a script might try."""
    made = page(full())

    assert not [a for _, attributes in made.tags for a in attributes if a == "src"]
    links = [attributes["href"] for name, attributes in made.tags if name == "a"]
    assert {link[1:] for link in links if link} == set(made.sections)
    policy = next(a["content"] for _, a in made.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_same_result_same_bytes() -> None:
    """The page is a function of the data alone, also after it was written and read."""
    assert result_page.render(full()) == result_page.render(from_json(to_json(full())))


def test_every_plot_has_its_place_and_a_table_of_its_numbers() -> None:
    """A plot without a table would be closed to those who cannot see it."""
    made = page(full())
    places = [a["id"] for name, a in made.tags if name == "div" and a.get("class") == "plot"]

    assert places == [f"plot-{name}" for name in made.plots]
    assert set(made.plots) == {
        *("throughput", "latency", "spectrum", "repetitions", "streams"),
        *("threads", "process-cpu", "process-memory", "server-metrics"),
    }
    captions = made.text.split("Table: ")
    assert len(captions) - 1 == len(places) + 2  # and those of threads and counters


def test_lines_differ_in_more_than_colour() -> None:
    """No two lines of a plot have the same dash while there are enough of them."""
    for plot in page(full()).plots.values():
        dashes = [t["line"]["dash"] for t in plot["traces"] if t["mode"] == "lines"]
        assert len(set(dashes)) == min(len(dashes), len(DASHES))
    assert len(set(COLOURS)) == len(set(SYMBOLS)) == len(COLOURS) == len(DASHES)


@pytest.mark.parametrize("colour", COLOURS)
def test_lines_stand_out_on_white(colour: str) -> None:
    """Each colour has a contrast of 3:1 or more on white, as WCAG 2.1 asks of graphics."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert 1.05 / (luminance + 0.05) >= 3


def test_throughput_table_holds_every_interval() -> None:
    """The table below the plot has the numbers of result.json, in order."""
    data = result()
    rows = page(data).table_with("repetition", "second", "inferences/s")

    expected = [i.inferences_per_s for r in data.repetitions for i in r.timeseries]
    assert [float(row[2]) for row in rows] == expected
    assert [row[:2] for row in rows[:2]] == [["rep 1", "0.5"], ["rep 1", "1.5"]]


def test_plots_put_repetitions_in_a_row() -> None:
    """The second repetition begins where the first one ended, and no line joins them."""
    trace = page(result()).plots["throughput"]["traces"][0]

    assert trace["x"][:6] == [0.5, 1.5, 2.5, 3.5, None, 4.5]
    assert trace["y"][4] is None


def test_interval_without_a_known_p99_is_marked() -> None:
    """Where p99 falls among time-outs the line has a gap with a mark above it."""
    rep = repetition(1)
    lost = changed(rep.timeseries[1], response_p99_ms=None, timeouts=50)
    data = result(changed(rep, timeseries=[rep.timeseries[0], lost, *rep.timeseries[2:]]))
    traces = {t["name"]: t for t in page(data).plots["latency"]["traces"]}

    assert traces["p99"]["y"][1] is None
    mark = traces["p99 unknown: no reply in time"]
    assert [y is not None for y in mark["y"]] == [False, True, False, False, False]


def test_spectrum_of_one_repetition_has_its_quantiles() -> None:
    """What is read off the curve is what result.json says, to the last digit."""
    latency = repetition(3).response_ms
    spectrum = spectrum_of([latency])

    assert spectrum is not None
    assert spectrum.quantiles_ms == {name: getattr(latency, name) for name in QUANTILES}
    assert spectrum.bound_ms is None
    assert spectrum.y_ms == sorted(spectrum.y_ms)
    assert spectrum.y_ms[-1] == latency.max
    assert spectrum.x[-1] == 2 * latency.count


def test_spectrum_is_that_of_the_sorted_samples() -> None:
    """Each point is the value at its rank among all samples of both repetitions."""
    samples = np.sort(np.concatenate([samples_ns(1), samples_ns(2)]))
    spectrum = spectrum_of([latency_of(samples_ns(1)), latency_of(samples_ns(2))])

    assert spectrum is not None
    for x, y_ms in zip(spectrum.x[:-1], spectrum.y_ms[:-1], strict=True):
        rank = round(samples.size * (1 - 1 / x))
        assert y_ms == pytest.approx(samples[rank - 1] / 1e6, rel=1e-3)


def test_spectrum_ends_open_where_replies_are_missing() -> None:
    """Of 4,000 and 1,000 without a reply a fifth has no value: the curve stops at 80 %."""
    latency = latency_of(samples_ns(1), censored=1000, beyond_ns=30_000_000_000)
    spectrum = spectrum_of([latency])

    assert spectrum is not None
    assert spectrum.known == 0.8
    assert max(spectrum.x) == pytest.approx(5.0)
    assert spectrum.bound_ms == 30_000
    assert spectrum.at("p99") == "> 30,000"
    assert spectrum.at("p75") == latency.p75


def test_spectrum_without_a_single_success() -> None:
    """A server that never answered has an open end and no curve."""
    nothing = np.array([], dtype=np.int64)
    spectrum = spectrum_of([latency_of(nothing, censored=7, beyond_ns=2_000_000_000)])

    assert spectrum is not None
    assert (spectrum.x, spectrum.bound_ms, spectrum.known) == ([], 2000.0, 0.0)
    assert spectrum_of([latency_of(nothing)]) is None


def test_open_end_is_drawn_in_the_plot() -> None:
    """The plot has marks at the bound up to the last rank, in the group of its curve."""
    traces = page(failing()).plots["spectrum"]["traces"]
    end = next(t for t in traces if t["name"] == "response: no reply")

    assert set(end["y"]) == {30_000}
    assert end["x"][-1] == 2 * sum(
        r.response_ms.count + r.response_ms.censored for r in failing().repetitions
    )
    assert end["legendgroup"] == "response"


def with_threads(*lists: list[ThreadUsage]) -> Result:
    """Return a run whose repetitions have these threads."""
    repetitions = [
        changed(rep := repetition(n + 1), client=changed(rep.client, threads=part))
        for n, part in enumerate(lists)
    ]
    return result(*repetitions)


def test_few_threads_have_a_line_each() -> None:
    """Each thread is drawn, with the line above which it is too busy."""
    plot = page(with_threads(threads(2), threads(2))).plots["threads"]

    assert [t["name"] for t in plot["traces"]] == ["fb-w0", "fb-w1"]
    assert [s["y0"] for s in plot["layout"]["shapes"] if s.get("y0") == 80] == [80]


def test_many_threads_are_summed_up() -> None:
    """Of 128 threads the busiest, the median and the least busy are drawn; all are in the table."""
    made = page(with_threads(threads(128)))
    traces = {t["name"]: t["y"][0] for t in made.plots["threads"]["traces"]}

    assert traces == {"busiest thread": 127.0, "median thread": 63.5, "least busy thread": 0.0}
    assert len(made.table_with("thread", "busy")) == 128


def test_threads_that_ended_early_leave_gaps() -> None:
    """Series of different lengths, and repetitions without any, are no error."""
    some = [changed(threads(1)[0], cpu_percent_samples=[1.0] * n) for n in (3, 0, 5)]
    made = page(with_threads(some, [], threads(1, samples=0)))

    first = made.plots["threads"]["traces"][0]
    assert first["y"][:6] == [1.0, 1.0, 1.0, None, None, None]


def test_long_series_are_averaged_to_a_few_hundred_points() -> None:
    """Ten minutes at 5 Hz stay readable, and their mean stays."""
    long = [changed(threads(1)[0], cpu_percent_samples=[0.0, 100.0] * 1500)]
    trace = page(with_threads(long)).plots["threads"]["traces"][0]

    values = [y for y in trace["y"] if y is not None]
    assert len(values) == 300
    assert set(values) == {50.0}


def intervals(count: int) -> list[Interval]:
    """Return ``count`` intervals of 1 s, all alike."""
    one = interval(0, samples_ns(1, size=100))
    return [changed(one, start_s=float(n), end_s=n + 1.0) for n in range(count)]


def test_long_runs_have_a_limited_table() -> None:
    """Three hours of intervals are drawn in full; the table says how many rows it leaves out."""
    rep: Repetition = changed(repetition(1), timeseries=intervals(MAX_ROWS + 500))
    made = page(result(rep))

    assert len(made.table_with("second", "inferences/s")) == MAX_ROWS
    assert "500 more rows are in the result's other files." in made.text
    assert len(made.plots["throughput"]["traces"][0]["x"]) == MAX_ROWS + 501


def test_repetitions_are_compared_with_their_median() -> None:
    """The middle one of three stands at 100 %, the table holds the values themselves."""
    data = result()
    made = page(data)
    traces = made.plots["repetitions"]["traces"]
    row = next(r for r in made.table_with("number", "median") if r[0] == "inferences/s")

    assert [t["x"][0] for t in traces] == [99.9, 100.0, 100.1]
    assert [float(cell) for cell in row[1:4]] == [r.inferences_per_s for r in data.repetitions]
    assert "repetitions" not in page(result(repetition(1))).plots


def test_one_server_figure_is_drawn_at_a_time() -> None:
    """Figures of the server have units of their own: a menu chooses which one is shown."""
    plot = page(full()).plots["server-metrics"]

    assert [t["visible"] for t in plot["traces"]] == [True, False]
    buttons = plot["layout"]["updatemenus"][0]["buttons"]
    assert [b["args"][0]["visible"] for b in buttons] == [[True, False], [False, True]]


def test_steps_of_a_chain_are_shown() -> None:
    """Each step has its share and quantiles in a table, and its spectrum in one plot."""
    one, two = (
        StepResult(name=name, target=f"redis://{name}", service_ms=latency_of(samples), share=share)
        for name, samples, share in (
            ("fetch", samples_ns(1), 0.25),
            ("request", samples_ns(2), 0.6),
        )
    )
    failed = StepResult(name="last", target="<b>", service_ms=Latency(count=0), share=None)
    made = page(result(changed(repetition(1), steps=[one, two, failed])))
    rows = made.table_with("step", "share, %")

    assert [row[:2] for row in rows] == [
        ["fetch at redis://fetch", "25.0"],
        ["request at redis://request", "60.0"],
        ["last at <b>", "-"],
    ]
    assert rows[0][3] == f"{one.service_ms.p50:.3f}"
    names = [trace["name"] for trace in made.plots["steps"]["traces"]]
    assert names == ["fetch at redis://fetch", "request at redis://request"]
    assert "passes between the steps" in made.sections["steps"]
    assert "steps" not in page(result()).sections


def test_gpus_and_missing_figures_are_listed() -> None:
    """What the machine does not tell is no column, and why the server is silent is said."""
    made = page(full())

    assert made.table_with("GPU")[0][:3] == ["0: GPU 9000, rep 1", "12.5", "99.0"]
    assert "Not available: AI.INFO: no such model" in made.sections["server"]


def test_run_without_a_repetition() -> None:
    """A run that never measured has a page that says so."""
    data = changed(result(), repetitions=[], summary=None, dataset=None)
    made = page(data)

    assert "inferences that succeeded0" in made.sections["headline"]
    assert made.plots == {}
    assert "plots" not in made.sections


def test_run_in_which_everything_failed() -> None:
    """No success, no time series, no histogram: still a page, with the open end in it."""
    nothing = latency_of(np.array([], dtype=np.int64), censored=5, beyond_ns=10**9)
    rep = changed(repetition(1), response_ms=nothing, service_ms=nothing, timeseries=[])
    made = page(changed(result(rep), summary=None))

    assert [t["name"] for t in made.plots["spectrum"]["traces"]][1] == "response: no reply"
    assert made.table_with("quantile")[0][1] == "> 1,000"
