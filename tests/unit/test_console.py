"""The console report: what it says, and that it fits."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec
import pytest
import typer
from support.sample_result import latency_of, repetition, result, samples_ns
from typer.testing import CliRunner

from fastbench.cli.report import report
from fastbench.report import markdown, numbers
from fastbench.report.console import print_report, render
from fastbench.report.folder import ResultFolder
from fastbench.report.html import result_page
from fastbench.results import (
    ClientUsage,
    Counts,
    DatasetInfo,
    Latency,
    NodeCounts,
    Result,
    StepResult,
    TargetInfo,
    Warning,
    from_json,
)
from fastbench.verdict import judge
from fastbench.warnings import assess

if TYPE_CHECKING:
    from pathlib import Path


def row(text: str, label: str) -> list[str]:
    """Return the cells of the first table row with this label."""
    line = next(line for line in text.splitlines() if line.strip().startswith(f"{label} "))
    return re.split(r"\s{2,}", line.strip())[1:]


def failing() -> Result:
    """Return a partial run with errors and time-outs in its second repetition."""
    return result(repetition(1), repetition(2, timeouts=50, errors=12), status="partial")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("repetitions", [1, 2, 3, 4, 5, 9])
def test_fits_the_width(width: int, repetitions: int) -> None:
    """No line is wider than asked for and no number is cut, whatever the columns."""
    data = result(*[repetition(n + 1, timeouts=50) for n in range(repetitions)])
    text = render(data, width)

    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert row(text, "inferences/s")


@pytest.mark.parametrize(
    ("outputs", "said"),
    [("none", "rows in SYSTEM"), ("y (8 bytes an inference)", "rows and outputs in SYSTEM")],
)
def test_shared_memory_is_said(outputs: str, said: str) -> None:
    """The load says what does not cross the connection."""
    data = result()
    config = {**data.config, "workload": "vision", "shm": True}
    target = msgspec.structs.replace(data.target, details={"shared_memory_outputs": outputs})
    text = render(msgspec.structs.replace(data, config=config, target=target), 200)

    assert f"{said} SHARED MEMORY" in text


def test_columns_are_repetitions_median_and_spread() -> None:
    """At 100 columns three repetitions stand beside their median and spread."""
    text = render(result())

    assert row(text, "inferences/s") == ["1,001", "1,002", "1,003", "1,002", "1,001 .. 1,003"]
    assert row(text, "intended") == ["4,000", "4,000", "4,000", "12,000"]


def test_every_promised_statistic_has_a_row() -> None:
    """The full latency spectrum and every outcome are shown, also where they are zero."""
    text = render(result())

    for label in (
        *("min", "mean", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "p99.999"),
        *("max", "stddev", "sent", "ok", "errors", "timeouts", "lost", "unfinished", "never sent"),
        *("CPU us/inference", "user", "system", "busiest thread, %"),
    ):
        assert row(text, label)


def test_where_the_client_waited_has_rows() -> None:
    """Waits of the worst thread, of replies, for a slot, for room; what never was has no row."""
    r = result().repetitions[0]
    threads = [
        msgspec.structs.replace(r.client.threads[0], run_delay_s=wait_s, stalled_s=0.02)
        for wait_s in (0.1, 0.5)
    ]
    client = msgspec.structs.replace(
        r.client,
        threads=threads,
        reply_lag_ms=Latency(count=9, p99=0.25),
        window_full_s=2.0,
        blocked_s=1.0,
    )
    waited = render(result(msgspec.structs.replace(r, client=client)))

    assert row(waited, "waiting for CPU, %") == ["12.5"]  # 0.5 s of 4 s
    assert row(waited, "stalled > 1 ms, %") == ["0.5"]
    assert row(waited, "reply lag p99, ms") == ["0.250"]
    assert row(waited, "no free slot, %") == ["25.0"]  # 2 s of two threads' 8 s
    assert row(waited, "output blocked, %") == ["25.0"]  # 1 s of one connection's 4 s
    fair = render(result())
    assert "no free slot" not in fair
    assert "output blocked" not in fair


def test_what_was_not_judged_is_said() -> None:
    """A killed run has no verdict and no cost: the first is said, the second has no empty part."""
    unknown = ClientUsage(
        cpu_us_per_inference=None,
        user_us_per_inference=None,
        system_us_per_inference=None,
        threads=[],
    )
    text = render(result(msgspec.structs.replace(repetition(1), client=unknown)))

    assert "verdict: not judged" in text
    assert "\ncost" not in text
    assert "\ncost" in render(result())


def test_few_samples_are_marked_and_explained() -> None:
    """With 4,000 samples p99 is not marked, p99.9 is, and the mark is explained."""
    text = render(result())

    assert not any("~" in cell for cell in row(text, "p99"))
    assert all(cell.endswith("~") for cell in row(text, "p99.9")[:4])
    assert "fewer than 10 samples lie above" in text


def test_lower_bounds_are_marked_and_explained() -> None:
    """A quantile among time-outs reads "> 30,000"."""
    text = render(failing())

    assert row(text, "p99")[1] == "> 30,000"
    assert row(text, "max")[1] == "> 30,000"
    assert "some inferences got no answer within T" in text


def test_failures_stand_out() -> None:
    """Status, number of failures and the first text of an error are in the report."""
    text = render(failing())

    assert "vision, PARTIAL" in text
    assert "62 failed" in text
    assert "12 x ERR" in text
    assert "model key is empty" in text


def test_reason_of_an_early_end_stands_with_the_headline() -> None:
    """Why a run is not complete is said before its numbers."""
    text = render(msgspec.structs.replace(failing(), error="the peer closed the connection"))

    assert text.index("ended early: the peer closed") < text.index("response time, ms")


def test_what_is_not_real_is_said() -> None:
    """Synthetic data and random weights stand at the top, not only among the warnings."""
    data = msgspec.structs.replace(
        result(),
        dataset=DatasetInfo(path="x", rows=8, shape=[2], dtype="float32", synthetic=True),
        target=TargetInfo(url="embedded:", kind="redisai", model="m", random_weights=True),
    )
    head = render(data).split("inferences/s")[0]

    assert "SYNTHETIC" in head
    assert "RANDOM WEIGHTS" in head


def commands() -> Result:
    """Return a run of fastbench command."""
    data = result(repetition(1), repetition(2, timeouts=50, errors=12))
    config = {**data.config, "workload": "command", "command": {"commands": [["GET", "k"]]}}
    target = TargetInfo(url="redis://h", kind="redis")
    changed = msgspec.structs.replace(data, config=config, target=target)
    return msgspec.structs.replace(changed, warnings=assess(changed), verdict=judge(changed))


def test_commands_are_not_called_inferences() -> None:
    """No report of a run of commands has the word, nor a line on a model."""
    data = commands()
    page = result_page.render(data).decode()
    shown = re.sub(r'data-path="[^"]*"', "", page[page.index("<body") : page.index("<noscript")])
    plots = page[page.index('id="plot-data"') :].partition("</script>")[0]

    for text in (render(data), markdown.render(data).decode(), shown, plots):
        assert "commands/s" in text
        assert "inference" not in text.lower()
    assert "CPU us/command" in render(data)
    assert "\n  model" not in render(data)


@pytest.mark.parametrize(
    ("random", "details", "said"),
    [
        (None, {}, "weights not known (it was on the server already)"),
        (True, {}, "RANDOM WEIGHTS"),
        (True, {"compared_with": "m1"}, "first answer equals onnxruntime's with m1"),
    ],
)
def test_model_line_of_a_server_that_names_none(
    random: bool | None, details: dict[str, str], said: str
) -> None:
    """There is one all the same, and it says what is known of the weights."""
    target = TargetInfo(
        url="rest://h/p",
        kind="rest",
        random_weights=random,
        check_max_abs_difference=0.0 if details else None,
        details=details,
    )
    text = render(msgspec.structs.replace(result(), target=target), 200)

    assert "model     the server does not name it" in text
    assert said in text
    assert ("RANDOM WEIGHTS" in text) == bool(random)


def test_control_characters_of_a_server_do_not_reach_the_terminal() -> None:
    """What a server sends cannot colour or move the terminal, nor use rich's markup."""
    data = failing()
    text = render(msgspec.structs.replace(data, warnings=[Warning(code="x", message="[bold]y")]))

    assert "\x1b" not in text
    assert "[bold]y" in text


def test_advice_stands_with_its_warning() -> None:
    """Warnings come last, each with what to do."""
    doubt = Warning(code="thread-busy", message="a thread was 93% busy", advice="use two")
    text = render(msgspec.structs.replace(result(), warnings=[doubt]))

    assert text.rstrip().endswith("thread-busy  a thread was 93% busy; use two")


def test_run_without_a_repetition() -> None:
    """A run that never measured says so instead of showing an empty table."""
    data = msgspec.structs.replace(result(), repetitions=[], summary=None, dataset=None)

    assert "no inference succeeded" in render(data)


def test_plain_text_when_not_a_terminal() -> None:
    """A pipe gets text of 100 columns without escape sequences or trailing blanks."""
    file = io.StringIO()
    print_report(result(), file)

    assert file.getvalue() == render(result(), 100)
    assert "\x1b" not in file.getvalue()
    assert not re.search(r" $", file.getvalue(), re.MULTILINE)


@pytest.mark.parametrize(
    ("value", "text"), [(61.527, "61.53"), (615.27, "615.3"), (61527.4, "61,527"), (None, "-")]
)
def test_rates(value: float | None, text: str) -> None:
    """Rates have four significant digits or more."""
    assert numbers.rate(value) == text


def test_report_command_needs_result_json_alone(tmp_path: Path) -> None:
    """``fastbench report DIR`` shows the run's own report when all other files are gone."""
    ResultFolder(tmp_path).write(failing())
    for path in tmp_path.iterdir():
        if path.name != "result.json":
            path.unlink()
    app = typer.Typer()
    app.command()(report)

    shown = CliRunner().invoke(app, [str(tmp_path)])
    assert (shown.exit_code, shown.stdout) == (0, render(failing()))
    as_json = CliRunner().invoke(app, [str(tmp_path), "--format", "json"])
    assert from_json(as_json.stdout_bytes) == failing()


def test_interval_of_the_median_is_shown_from_six_repetitions() -> None:
    """Six repetitions have a column for it, with their smallest and largest value; five none."""
    six = result(*[repetition(n) for n in range(1, 7)])
    five = result(*[repetition(n) for n in range(1, 6)])

    (line,) = [t for t in render(six, 100).splitlines() if t.startswith("  inferences/s")]
    assert line.split()[1:] == ["1,004", *["1,001", "..", "1,006"] * 2]
    assert "95 % for median" in render(six, 100)
    assert "95 % for median" not in render(five, 160)


def test_nodes_of_a_cluster_have_a_line_each() -> None:
    """Counts of a node are those of all repetitions; failures are named where there are any."""
    first = NodeCounts(
        address="a:1", sent=10, ok=9, errors=1, timeouts=0, lost=0, unfinished=0, moved=0, asked=0
    )
    second = NodeCounts(
        address="b:2", sent=5, ok=3, errors=0, timeouts=0, lost=0, unfinished=0, moved=1, asked=1
    )
    data = result(*[msgspec.structs.replace(repetition(n), nodes=[first, second]) for n in (1, 2)])
    text = render(data)
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith("  ")]

    assert ["a:1", "sent 20, ok 18, MOVED 0, ASK 0, errors 2"] in lines
    assert ["b:2", "sent 10, ok 6, MOVED 2, ASK 2"] in lines
    assert "| a:1 | sent 20, ok 18, MOVED 0, ASK 0, errors 2 |" in markdown.render(data).decode()
    assert "nodes of the cluster" not in render(result())


def test_steps_of_a_chain_have_a_line_each() -> None:
    """A step shows its median quantiles and share; without a success it says so."""

    def step(name: str, p50: float | None, share: float | None) -> StepResult:
        latency = Latency(count=0 if p50 is None else 9, p50=p50, p99=p50 and 2 * p50)
        return StepResult(name=name, target="redis://a:1", service_ms=latency, share=share)

    data = result(
        msgspec.structs.replace(
            repetition(1), steps=[step("fetch", 1.0, 0.25), step("request", None, None)]
        ),
        msgspec.structs.replace(
            repetition(2), steps=[step("fetch", 3.0, 0.35), step("request", None, None)]
        ),
    )
    text = render(data)

    assert "fetch at redis://a:1    p50 2.000 ms, p99 4.000 ms, 30.0 % of the service time" in text
    assert "request at redis://a:1  no success" in text
    assert "| fetch at redis://a:1 | p50 2.000 ms" in markdown.render(data).decode()
    assert "steps of an inference" not in render(result())


def cut_short(status: str, *, whole: int = 1, **counts: int) -> Result:
    """Return a run whose last repetition ended early, at 7 inferences/s."""
    last = msgspec.structs.replace(
        repetition(whole + 1),
        status=status,
        inferences_per_s=7.0,
        counts=Counts(**{"intended": 5, "sent": 5, "ok": 5, **counts}),
    )
    each = [*(repetition(n + 1) for n in range(whole)), last]
    return result(*each, status=status)


def test_headline_and_medians_are_of_complete_repetitions() -> None:
    """The one that broke has its own marked column, and no part in medians and ends."""
    text = render(cut_short("partial"))

    assert "1,001 inferences/s" in text
    assert "(of 1 complete repetition)" in text
    assert "1 repetition of 4 s, 1 incomplete repetition of 4 s" in text
    assert re.search(r"rep 1 +rep 2\* +median", text)
    assert row(text, "inferences/s") == ["1,001", "7.00", "1,001", "1,001 .. 1,001"]
    assert re.search(r"\n  \* +not complete; the median and both ends are of 1 complete", text)


def test_headline_without_a_complete_repetition_says_so() -> None:
    """It then is what was measured until the end."""
    text = " ".join(render(cut_short("partial", whole=0)).split())

    assert "7.00 inferences/s" in text
    assert "(of incomplete repetitions)" in text


def test_in_flight_at_an_interrupt_is_not_failed() -> None:
    """Ctrl-C ends what was in flight: it is called unfinished; after an error it failed."""
    pending = {"intended": 6, "sent": 6, "unfinished": 1}

    assert "  0 failed, 1 unfinished" in render(cut_short("interrupted", **pending))
    assert "1 failed   (" in render(cut_short("partial", **pending))


def test_no_end_is_below_the_other() -> None:
    """A bound below a value is shown as the smallest there may be, and both ends as bounds."""
    bound = latency_of(samples_ns(1, size=90), censored=10, beyond_ns=2_000_000)
    value = latency_of(samples_ns(2, size=100, median_ms=9.0))
    reps = [
        msgspec.structs.replace(repetition(n), response_ms=each)
        for n, each in enumerate((bound, value), 1)
    ]
    text = render(result(*reps))

    cells = row(text, "p99")
    least, most = cells[-1].split(" .. ")
    assert least == cells[2].rstrip("~") == cells[0].rstrip("~")
    assert most == f"> {cells[1].rstrip('~')}"
