"""Sweeps and searches as tables, CSV and Markdown: every cell is there, hostile text is tamed."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.sample_network import network, transaction
from support.sample_result import result
from support.sample_studies import FIGURES, MATRIX, SEARCH, SUITE, SWEEP

from fastbench import searches, sweeps
from fastbench.cli import sweep as sweep_command
from fastbench.cli.search import exit_code, parse_resolution
from fastbench.errors import UsageError
from fastbench.report import search_files, sweep_files
from fastbench.report.folder import ResultFolder
from fastbench.report.studies import check_format, print_study, read_study
from fastbench.searches import Limit, Probe
from fastbench.versioned import to_json

if TYPE_CHECKING:
    from pathlib import Path

BORDER = (
    Probe(
        name="02-100",
        rate_per_s=100.0,
        repetitions=3,
        outcome="held",
        reasons=[],
        limits=[Limit(objective="p99<50ms", holds=True, value=40.0, low=39.0, high=45.5)],
        figures=FIGURES,
    ),
    Probe(
        name="03-104",
        rate_per_s=104.0,
        repetitions=1,
        outcome="failed",
        reasons=["p99<50ms does not hold: > 1,000 ms"],
        limits=[
            Limit(objective="p99<50ms", holds=False, value=1000.0, low=1.0, high=1.0, beyond=True)
        ],
        figures=None,
    ),
)
FOUND = msgspec.structs.replace(
    SEARCH,
    probes=[*SEARCH.probes, *BORDER],
    finding="found",
    highest_held_per_s=100.0,
    lowest_failed_per_s=104.0,
    notes=["measure longer"],
)


def test_sweep_table_has_every_cell_and_its_failure() -> None:
    """One row per cell with its figures, or with what became of it."""
    text = sweep_files.console(SWEEP)

    row = next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert row.split() == [
        *("1", "100.0", "9.000", "15.000", "20.000", "0", "12.0", "1.0/1", "not", "judged")
    ]
    assert "FAILED" in text
    assert "connections-2: failed: refused" in text
    assert "1 of 2 cells complete" in text


def test_targets_side_by_side() -> None:
    """Each target is a row with its figures and verdict; one that failed says why below."""
    lines = sweep_files.console(MATRIX).splitlines()

    assert "matrix of 3 targets, PARTIAL, 2 of 3 cells complete" in lines[0]
    first = next(line for line in lines if line.startswith("redisai://a"))
    assert first.split()[1:3] == ["100.0", "9.000"]
    assert first.endswith("client-ok")
    assert next(line for line in lines if line.startswith("rest://b/p")).endswith("client-limited")
    assert next(line for line in lines if line.startswith("rest://c/p")).endswith("FAILED")
    assert lines[-1] == "target-rest-c-p: failed: cannot connect to rest://c/p"


def test_targets_side_by_side_in_markdown_and_csv() -> None:
    """Text columns stand to the left; the file reads back as it was."""
    table = sweep_files.markdown(MATRIX).decode().splitlines()
    rows = list(csv.DictReader(sweep_files.csv_file(MATRIX).decode().splitlines()))

    assert any(line.startswith("| --- | --: |") for line in table)
    assert [row["target"] for row in rows] == ["redisai://a", "rest://b/p", "rest://c/p"]
    assert sweeps.from_json(sweeps.to_json(MATRIX)) == MATRIX


@pytest.mark.parametrize(("few", "marked"), [(["p9999"], False), (["p99", "p9999"], True)])
def test_only_quantiles_that_are_shown_are_explained(few: list[str], marked: bool) -> None:
    """The legend of the mark stands there only where the mark does."""
    latency = msgspec.structs.replace(FIGURES.response_ms, few_samples=few)
    figures = msgspec.structs.replace(FIGURES, response_ms=latency)
    cells = [msgspec.structs.replace(SWEEP.cells[0], figures=figures)]

    text = sweep_files.console(msgspec.structs.replace(SWEEP, cells=cells))

    assert ("20.000~" in text) == marked
    assert ("fewer than 10 samples" in text) == marked


def test_sweep_csv_has_the_numbers_of_the_file() -> None:
    """A program reads the same figures as stand in sweep.json."""
    one, two = csv.DictReader(sweep_files.csv_file(SWEEP).decode().splitlines())

    assert (one["cell"], one["connections"], one["status"]) == ("connections-1", "1", "complete")
    assert float(one["response_p99_ms"]) == 20.0
    assert float(one["in_flight"]) == 1.0
    assert (two["status"], two["inferences_per_s"], two["error"]) == ("failed", "", "refused")


def test_markdown_shows_hostile_text_as_text() -> None:
    """What a server says neither ends a cell nor becomes markup."""
    cells = [
        msgspec.structs.replace(c, error="<script>|`x`\n\x1b[31m" if c.error else "")
        for c in SWEEP.cells
    ]

    text = sweep_files.markdown(msgspec.structs.replace(SWEEP, cells=cells)).decode()

    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text


def test_search_answer_names_both_ends() -> None:
    """The answer is an interval, with the spread of the repetitions that decided."""
    text = search_files.console(FOUND)

    assert "100/s is the highest rate found to hold p99<50ms; 104/s is the lowest" in text
    assert "(4.0% above)" in text
    assert "40.000 ms (39.000..45.500)" in text
    assert "> 1,000 ms" in text
    assert text.endswith("measure longer\n")


def test_search_that_is_not_monotone_calls_no_rate_the_highest() -> None:
    """The rate that held above a failure stands in the answer, which then claims less."""
    text = search_files.answer(msgspec.structs.replace(FOUND, held_above_failed_per_s=[130.0]))

    assert text == (
        "every rate tried up to 100/s held p99<50ms; 104/s did not (4.0% above), "
        "but 130/s did again"
    )


@pytest.mark.parametrize(
    ("finding", "held", "failed", "says", "code"),
    [
        ("found", 100.0, 104.0, "highest rate found", 0),
        ("client-limited", 100.0, None, "at least 100/s hold", 0),
        ("client-limited", None, None, "nothing is known of the server", 3),
        ("no-limit", 100.0, None, "no rate failed", 0),
        ("none-holds", None, 2.0, "no rate holds p99<50ms: 2/s and above all failed", 3),
        ("undecided", 100.0, 120.0, "not decided, so far", 1),
        ("", None, None, "not ended", 3),
    ],
)
def test_each_finding_has_its_words_and_exit_code(
    finding: str, held: float | None, failed: float | None, says: str, code: int
) -> None:
    """What was found, what is only a bound, and what a script may rely on."""
    search = msgspec.structs.replace(
        FOUND, finding=finding, highest_held_per_s=held, lowest_failed_per_s=failed
    )

    assert says in search_files.answer(search)
    assert exit_code(search) == code


def test_search_csv_has_the_limits() -> None:
    """Each probe with median and ends of each objective."""
    rows = list(csv.DictReader(search_files.csv_file(FOUND).decode().splitlines()))

    assert [row["outcome"] for row in rows] == ["reference", "held", "failed"]
    assert (rows[1]["p99<50ms median"], rows[1]["p99<50ms max"]) == ("40.0", "45.5")


@pytest.mark.parametrize(
    ("verdict", "code"), [("client-ok", 0), ("suspect", 3), ("client-limited", 3), ("", 3)]
)
def test_required_verdict_decides_the_exit_code(
    verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--require client-ok``: every cell of a sweep, and the rate that a search answers with."""
    figures = msgspec.structs.replace(FIGURES, verdict=verdict)
    cells = [msgspec.structs.replace(c, figures=figures, status="complete") for c in SWEEP.cells]
    sweep = msgspec.structs.replace(SWEEP, cells=cells)
    held = msgspec.structs.replace(BORDER[0], figures=figures)
    search = msgspec.structs.replace(FOUND, probes=[held, BORDER[1]])

    for end in (
        lambda: sweep_command.exit_code(sweep, "client-ok"),
        lambda: exit_code(search, "client-ok"),
    ):
        assert end() == code
        said = capsys.readouterr().err
        assert said.count("\n") == (code == 3)
        assert (f"--require client-ok: the verdict is {verdict or 'not judged'}" in said) == bool(
            code
        )
    assert sweep_command.exit_code(sweep, None) == exit_code(search, None) == 0


def test_interrupted_search_ends_as_interrupted() -> None:
    """Ctrl-C has its own exit code whatever was known until then."""
    assert exit_code(msgspec.structs.replace(FOUND, status="interrupted")) == 130


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.5 %", 0.005)])
def test_resolution_is_a_percentage(text: str, value: float) -> None:
    """A percentage becomes a fraction."""
    assert parse_resolution(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["5", "-1%", "five%", ""])
def test_wrong_resolution_is_refused(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(UsageError, match="write a percentage"):
        parse_resolution(text)


@pytest.mark.parametrize("name", ["console", "json", "markdown", "csv"])
def test_studies_are_found_in_their_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A sweep or a search is read from its folder and printed in each format."""
    for folder, file, data in (
        ("a", "sweep.json", sweeps.to_json(SWEEP)),
        ("b", "search.json", searches.to_json(FOUND)),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_bytes(data)
        study = read_study(tmp_path / folder)
        assert study is not None
        assert study == read_study(tmp_path / folder / file)
        print_study(study, name)

    out = capsys.readouterr().out
    assert "connections-2" in out
    assert "02-100" in out


def test_suites_and_baselines_are_found_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suite's folder, and one that holds only a network baseline; not one beside a run."""
    for name, data in (("suite.json", SUITE), ("network.json", network(transaction(1, 0.5)))):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(to_json(data))
        assert read_study(folder) == read_study(folder / name) == data
        print_study(data, "console")
        print_study(data, "json")
        with pytest.raises(UsageError, match="is printed as console, json"):
            print_study(data, "csv")
    out = capsys.readouterr().out
    assert "ONNX suite" in out
    assert "network baseline of lab:7400" in out

    ResultFolder(tmp_path / "network").write(result())
    assert read_study(tmp_path / "network") is None


@pytest.mark.parametrize(
    ("file", "data", "says"),
    [
        ("sweep.json", SWEEP, r"holds a sweep, not a run: name the result folders of its cells"),
        ("search.json", SEARCH, r"holds a search, not a run: .* of its probes"),
        ("suite.json", SUITE, r"holds an ONNX suite, not a run: 'fastbench report .*' shows it$"),
    ],
)
def test_what_is_no_run_is_named(tmp_path: Path, file: str, data: object, says: str) -> None:
    """Who wants a run, as compare does, is told what the folder holds and what to name instead."""
    (tmp_path / file).write_bytes(to_json(data))
    for path in (tmp_path, tmp_path / file):
        with pytest.raises(UsageError, match=says):
            ResultFolder.read(path)
    ResultFolder(tmp_path / "part").prepare()
    ResultFolder(tmp_path / "part").write(result())

    if file != "suite.json":
        with pytest.raises(UsageError, match=rf"e\.g\. {tmp_path}/part; 'fastbench report"):
            ResultFolder.read(tmp_path)
    assert ResultFolder.read(tmp_path / "part") == result()


def test_other_folder_is_no_study(tmp_path: Path) -> None:
    """A folder without either file is left to others; a damaged file is one line."""
    assert read_study(tmp_path) is None
    (tmp_path / "sweep.json").write_text("{")

    with pytest.raises(UsageError, match="not a whole fastbench sweep"):
        read_study(tmp_path)


def test_unknown_format_is_refused() -> None:
    """The formats that there are are named."""
    with pytest.raises(UsageError, match="console, json, markdown, csv"):
        check_format("prometheus")
