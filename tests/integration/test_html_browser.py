"""report.html in a real browser: drawn without a complaint, usable, without network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import redisserver
from support.browser import Browser, program
from support.cli import fastbench
from support.full_result import full, hostile
from support.page import at
from support.sample_result import result

from fastbench.report.html import result_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.results import Result

pytestmark = pytest.mark.skipif(program() is None, reason="no browser: apt-get install chromium")

LEGEND = "#plot-latency .legendtoggle"
LINES = "document.querySelectorAll('#plot-latency .scatterlayer .trace').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser that the tests of this file share."""
    with Browser() as made:
        yield made


@pytest.fixture(autouse=True)
def _desktop(browser: Browser) -> None:
    """Begin each test with the same window and nothing noted."""
    browser.resize(1280, 900)
    browser.requests.clear()
    browser.complaints.clear()


def show(browser: Browser, data: Result, folder: Path) -> None:
    """Open the page of ``data`` from disk."""
    path = folder / "report.html"
    path.write_bytes(result_page.render(data))
    browser.open(path)


def drawn(browser: Browser) -> list[bool]:
    """Return for each plot whether it has axes and at least one line or mark."""
    found: list[bool] = browser.evaluate(
        "[...document.querySelectorAll('.plot')].map(p =>"
        " p.querySelector('.xaxislayer-above, .xaxislayer-below') !== null &&"
        " p.querySelector('.scatterlayer .trace') !== null)"
    )
    return found


@pytest.mark.skipif(not redisserver.programs(), reason="no redis-server: apt-get install it")
def test_page_of_a_run_equals_its_result(browser: Browser, tmp_path: Path) -> None:
    """What the browser shows after a real run is what stands in result.json beside it."""
    out = tmp_path / "out"
    with redisserver.running(redisserver.programs()[0], tmp_path):
        target, often = f"redis+unix://{tmp_path}/s", ("--repetitions", 2, "--duration", 1)
        done = fastbench("command", target, *often, "--out", out, "--quiet", "--", "PING")
        assert done.code == 0, done.err
    browser.open(out / "report.html")
    shown = browser.evaluate(
        "[...document.querySelectorAll('data')].map(d => [d.dataset.path, d.value])"
    )

    document = json.loads((out / "result.json").read_bytes())
    assert len(shown) > 10
    assert all(json.loads(value) == at(document, path) for path, value in shown)
    first = [i["inferences_per_s"] for i in document["repetitions"][0]["timeseries"]]
    line = browser.evaluate("document.getElementById('plot-throughput').data[0].y")
    assert line[: len(first)] == first
    assert all(drawn(browser))
    assert browser.complaints == []


def test_every_plot_is_drawn_without_a_complaint(browser: Browser, tmp_path: Path) -> None:
    """Console and network stay silent: the page is all that is loaded."""
    show(browser, full(), tmp_path)

    assert drawn(browser) == [True] * 9
    assert browser.complaints == []
    assert browser.requests == [(tmp_path / "report.html").as_uri()]


def test_request_would_be_seen_and_refused(browser: Browser, tmp_path: Path) -> None:
    """The check for silence can fail: a request of the page is noted, and its policy stops it."""
    show(browser, result(), tmp_path)
    browser.evaluate("fetch('http://127.0.0.1:9/').catch(() => 'refused')")

    assert any("Content Security Policy" in text for text in browser.complaints)


def test_click_on_the_legend_hides_a_line(browser: Browser, tmp_path: Path) -> None:
    """A click hides the line and the next one brings it back."""
    show(browser, result(), tmp_path)
    before = browser.evaluate(LINES)
    item = f"document.querySelector('{LEGEND}')"

    browser.click(item)
    browser.wait_for(f"{LINES} === {before - 1}")
    assert browser.evaluate("document.getElementById('plot-latency').data[0].visible") == (
        "legendonly"
    )
    # Two clicks within 300 ms would be a double click, which shows one line alone.
    browser.evaluate("new Promise(done => setTimeout(done, 400))")
    browser.click(item)
    browser.wait_for(f"{LINES} === {before}")


def test_scale_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    """The buttons make the axis logarithmic and linear again, and say which one is on."""
    show(browser, result(), tmp_path)
    kind = "document.getElementById('plot-spectrum')._fullLayout.yaxis.type"
    button = "document.querySelector('[data-plot=spectrum][data-scale={}]')"

    assert browser.evaluate(kind) == "linear"
    for scale in ("log", "linear"):
        browser.click(button.format(scale))
        browser.wait_for(f"{kind} === '{scale}'")
        assert browser.evaluate(f"{button.format(scale)}.ariaPressed") == "true"


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_page_fits_the_screen(browser: Browser, tmp_path: Path, width: int) -> None:
    """On a phone as on a desktop nothing is wider than the window; wide tables scroll alone."""
    browser.resize(width, 800)
    show(browser, full(), tmp_path)

    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    widths = browser.evaluate(
        "[...document.querySelectorAll('.plot .main-svg')]"
        ".map(svg => svg.getBoundingClientRect().width)"
    )
    assert max(widths) <= width


def test_drawing_moves_nothing(browser: Browser, tmp_path: Path) -> None:
    """Plots have their height before they are drawn, so that a reader does not lose the place."""
    show(browser, full(), tmp_path)
    shift = browser.evaluate(
        "new Promise(done => { let sum = 0; new PerformanceObserver(list => {"
        " for (const e of list.getEntries()) sum += e.value; })"
        ".observe({type: 'layout-shift', buffered: true}); setTimeout(() => done(sum), 200); })"
    )

    assert shift < 0.01


def test_paper_holds_the_plots(browser: Browser, tmp_path: Path) -> None:
    """In print plots have the paper's width, tables below them stay closed, and it goes back."""
    show(browser, full(), tmp_path)
    width = "document.getElementById('plot-latency').getBoundingClientRect().width"
    before = browser.evaluate(width)
    browser.evaluate(
        "window.addEventListener('beforeprint', () => { window.onPaper ="
        " document.querySelector('#plot-latency .main-svg').getBoundingClientRect().width })"
    )
    browser.print(tmp_path / "page.pdf")

    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert browser.evaluate("onPaper") == 680
    browser.wait_for(f"{width} === {before}")
    assert browser.complaints == []


def test_hostile_texts_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """Scripts in the texts of a result do not run, not even where plotly.js draws them."""
    show(browser, hostile(), tmp_path)

    assert browser.evaluate("typeof window.harmed") == "undefined"
    assert all(drawn(browser))
    assert browser.complaints == []
    assert browser.requests == [(tmp_path / "report.html").as_uri()]
