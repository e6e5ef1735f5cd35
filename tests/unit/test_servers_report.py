"""Each of several servers in every format, with its own figures."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.full_result import EVIL, full
from support.page import page
from support.sample_result import result
from support.servers_result import ELSEWHERE, HERE, SILENT, process_of, told, with_servers

from fastbench.report import console, csvfile, markdown, prometheus, servers
from fastbench.results import ServerMetrics, ServerSample, ServerUsage, from_json, to_json
from fastbench.verdict import judge

WORDS = {
    HERE: "CPU 30.0 %, RSS 40.0 MiB, its own CPU 37.5 %, commands/s 750.0, execution mean 3.000 ms",
    ELSEWHERE: "its own CPU 37.5 %, commands/s 1,500, execution mean 3.000 ms",
    SILENT: "not available",
}


def test_a_line_for_each_server() -> None:
    """Figures are medians over the repetitions; what is not known is left out."""
    assert dict(servers.server_lines(with_servers())) == WORDS


def test_samples_per_execution_of_each() -> None:
    """How Triton gathered inferences is told of each of several servers too."""
    gathered = ServerMetrics(
        deltas={"inference_count": 30.0, "execution_count": 8.0},
        samples=[ServerSample(at_s=at, values={}) for at in (0.0, 2.0)],
    )
    two = [ServerUsage(url=url, metrics=gathered) for url in (HERE, ELSEWHERE)]
    data = result(msgspec.structs.replace(result().repetitions[0], servers=two))

    assert dict(servers.server_lines(data))[ELSEWHERE] == "samples/execution 3.8"


def test_console_and_markdown_show_them() -> None:
    """Each server stands with its figures, and what it did not tell with its name."""
    data = with_servers()
    text, marked = console.render(data, 140), markdown.render(data).decode()

    for url, words in WORDS.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{url} "))
        assert line.split(maxsplit=1)[1].strip() == words
        assert f"| {markdown.escape(url)} | {words} |" in marked
    assert f"{ELSEWHERE}: AI.INFO: no" in " ".join(text.split())
    assert "server, % of a core" not in text
    assert servers.TITLE not in console.render(result()).splitlines()


def test_only_server_has_rows_as_ever() -> None:
    """A result with one server, new or old, shows it in the table and not among several."""
    one = msgspec.structs.replace(
        result().repetitions[0], server=process_of(40, 20.0), server_metrics=told(100)
    )
    text = console.render(result(one))

    assert "server, % of a core" in text
    assert "server, by its own account" in text
    assert servers.server_lines(result(one)) == []
    assert [s.url for s in servers.servers_of(one)] == [""]


def test_page_shows_each_server() -> None:
    """A table of all, a curve for each with samples, and a menu that chooses the figure."""
    made = page(with_servers())
    table = made.table_with("server, medians")

    assert [row[:3] for row in table] == [
        [HERE, "30.0", "40.0"],
        [ELSEWHERE, "-", "-"],
        [SILENT, "-", "-"],
    ]
    assert [t["name"] for t in made.plots["process-cpu"]["traces"]] == [f"server {HERE}"]
    plot = made.plots["server-metrics"]
    assert [t["name"] for t in plot["traces"]] == [HERE, HERE, ELSEWHERE, ELSEWHERE]
    buttons = plot["layout"]["updatemenus"][0]["buttons"]
    shown = {b["label"]: b["args"][0]["visible"] for b in buttons}
    assert shown == {
        "model_calls": [True, False, True, False],
        "used_memory": [False, True, False, True],
    }
    assert [t["visible"] for t in plot["traces"]] == shown["model_calls"]
    assert len({t["line"]["dash"] for t in plot["traces"]}) == 2
    rows = made.table_with("server", "second")
    assert [row[0] for row in rows] == [HERE] * 4 + [ELSEWHERE] * 4
    assert f"Not available: {ELSEWHERE}: AI.INFO: no" in made.sections["server"]
    assert f"counters of the server {ELSEWHERE}" in made.text


def test_hostile_url_stays_text() -> None:
    """Markup in a URL is shown and never run."""
    evil = [ServerUsage(url=EVIL, process=process_of(1, 1.0), metrics=told(1, EVIL))] * 2
    first = msgspec.structs.replace(full().repetitions[0], server=None, server_metrics=None)
    data = msgspec.structs.replace(
        full(), repetitions=[msgspec.structs.replace(first, servers=evil)]
    )
    made = page(data)

    assert [name for name, _ in made.tags].count("script") == 3
    assert "img" not in [name for name, _ in made.tags]
    for plot in made.plots.values():
        assert "<" not in "".join(trace["name"] for trace in plot["traces"])
    assert "\x1b" not in console.render(data)


def test_csv_has_their_sum() -> None:
    """A row per repetition has the CPU and memory of all local servers together."""
    two = [
        ServerUsage(url=HERE, process=process_of(40, 20.0)),
        ServerUsage(url="redis://127.0.0.1:2", process=process_of(2, 5.0)),
        ServerUsage(url=ELSEWHERE, metrics=told(1)),
    ]
    data = result(msgspec.structs.replace(result().repetitions[0], servers=two))
    text = csvfile.render(data).decode()
    row, *_ = csv.DictReader(io.StringIO(text, newline=""))

    assert float(row["server_cpu_percent_mean"]) == 25.0
    assert float(row["server_rss_max_bytes"]) == 42 * 2**20


def test_prometheus_names_them() -> None:
    """Each local server's process has samples of its own, labelled with its URL."""
    families = text_string_to_metric_families(prometheus.render(with_servers()).decode())
    found = {
        (s.labels["repetition"], s.labels["target"]): s.value
        for family in families
        for s in family.samples
        if s.name == "fastbench_process_cpu_ratio" and s.labels["process"] == "server"
    }

    assert found == {("1", HERE): pytest.approx(0.2), ("2", HERE): pytest.approx(0.4)}


def test_written_and_read() -> None:
    """The servers are in result.json; an older one, without them, is read too."""
    data = with_servers()
    assert from_json(to_json(data)) == data

    older = msgspec.json.decode(to_json(full()))
    for repetition in older["repetitions"]:
        del repetition["servers"]
    read = from_json(msgspec.json.encode(older))
    assert read.repetitions[0].server == full().repetitions[0].server
    assert read.repetitions[0].servers == []


def test_verdict_knows_that_a_server_is_here() -> None:
    """One local process among several servers is enough for the note on placement."""
    here, elsewhere = with_servers(), result()
    placed = {
        name: [e.status for e in judge(data).evidence if e.name == "placement"]
        for name, data in {"here": here, "elsewhere": elsewhere}.items()
    }

    assert placed == {"here": ["note"], "elsewhere": []}
