"""Comparisons: chance rarely shows a difference, a real one is found, and none is hidden."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from support.sample_result import interval, latency_of, repetition, result, run_with, samples_ns
from support.simulated import SlowAndFast, autocorrelated, steady, with_series
from support.streams_result import stream_of
from typer.testing import CliRunner

from fastbench import cli, latency
from fastbench.compare import within
from fastbench.compare.build import compare
from fastbench.comparison import Candidate, Change, failed
from fastbench.errors import UsageError
from fastbench.report.comparing import render_console, render_markdown
from fastbench.results import StreamInfo, Verdict, to_json
from fastbench.slo import parse_change

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.results import Repetition, Result, StreamResult

changed = msgspec.structs.replace

PAIRS = 200
JUDGED = ("rate", "p50", "p90", "p95", "p99", "p99.9", "errors")


def pair(base: Result, other: Result, *limits: str) -> Candidate:
    """Return what a comparison says of ``other``."""
    forbidden = [parse_change(text) for text in limits]
    return compare([("a", base), ("b", other)], forbidden).candidates[0]


def of(candidate: Candidate, metric: str) -> Change:
    """Return the change of one metric."""
    return next(change for change in candidate.changes if change.metric == metric)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> SlowAndFast:
    """Make runs; their histograms are known, so that decoding them again takes no time."""
    made = SlowAndFast(7)
    monkeypatch.setattr(within.latency, "merge", lambda texts: made.counts_of[texts[0]])
    return made


def test_no_difference_is_rarely_called_one(simulation: SlowAndFast) -> None:
    """In at least 95 % of 200 autocorrelated A/A pairs, within binomial error, for each metric."""
    verdicts: dict[str, Counter[str]] = {metric: Counter() for metric in JUDGED}
    for _ in range(PAIRS):
        for change in pair(simulation.run(3, 20), simulation.run(3, 20)).changes:
            verdicts[change.metric][change.verdict] += 1

    least = PAIRS * 0.95 - 2.33 * math.sqrt(PAIRS * 0.95 * 0.05)
    for metric, counted in verdicts.items():
        assert sum(counted.values()) == PAIRS
        assert counted["no difference shown"] >= least, (metric, counted)


@pytest.mark.parametrize(("repetitions", "pairs", "power"), [(3, 40, 0.6), (6, 20, 0.9)])
def test_ten_percent_are_found(
    simulation: SlowAndFast, repetitions: int, pairs: int, power: float
) -> None:
    """A rise of latencies by 10 %: about 4 in 5 with three repetitions, always with six."""
    found: Counter[str] = Counter()
    for _ in range(pairs):
        base = simulation.run(repetitions, 20)
        candidate = pair(base, simulation.run(repetitions, 20, slower=math.log(1.1)))
        found.update(c.metric for c in candidate.changes if c.verdict == "slower")
        assert all(c.verdict != "faster" for c in candidate.changes)

    assert min(found["rate"], found["p50"], found["p95"]) >= power * pairs


def test_interval_is_welchs() -> None:
    """Without interval series: logarithms, unequal variances, and the histogram's resolution."""
    a, b = np.log([10.0, 11.0, 12.0]), np.log([13.0, 15.0, 14.0])
    candidate = pair(run_with([10.0, 11.0, 12.0]), run_with([13.0, 15.0, 14.0]))
    rate, p99 = of(candidate, "rate"), of(candidate, "p99")

    va, vb = a.var(ddof=1) / 3, b.var(ddof=1) / 3
    freedom = (va + vb) ** 2 / (va**2 / 2 + vb**2 / 2)
    assert 3.5 < freedom < 4.0
    half = 2.83 * math.sqrt(va + vb)  # t at 95 % lies between t(3.5) = 2.94 and t(4) = 2.776
    assert rate.change == pytest.approx(math.exp(b.mean() - a.mean()) - 1)
    assert rate.low == pytest.approx(math.exp(b.mean() - a.mean() - half) - 1, abs=0.02)
    assert (rate.verdict, p99.verdict) == ("faster", "slower")
    assert p99.low is not None
    assert rate.low is not None
    assert (1 + rate.low) / (1 + p99.low) == pytest.approx(1 + 1 / 1024, rel=1e-6)


def test_bootstrap_within_a_repetition_is_of_the_right_size() -> None:
    """For independent intervals of one distribution it agrees with the textbook's errors."""
    values = samples_ns(3, 60_000)

    parts = [interval(i, part) for i, part in enumerate(np.split(values, 60))]
    errors = within.standard_errors(changed(repetition(1), timeseries=parts))
    rates = 1000 * (1 + 0.05 * np.random.default_rng(4).standard_normal((30, 60)))
    of_rates = [
        within.standard_errors(with_series(repetition(1), series))["rate"] for series in rates
    ]

    assert np.mean(of_rates) == pytest.approx(0.05 / math.sqrt(60), rel=0.15)
    # Log-normal, sigma 0.4: the median's logarithm has the error 0.4 sqrt(pi / 2 / n).
    assert errors["p50"] == pytest.approx(0.4 * math.sqrt(math.pi / 2 / 60_000), rel=0.4)


def test_uncertainty_within_is_never_ignored() -> None:
    """Repetitions that agree by chance do not make figures more certain than each of them is."""
    series = 1000 * np.exp(0.2 * autocorrelated(np.random.default_rng(5), (1, 24), 0.6)[0])
    runs = []
    for rate in (1000.0, 1010.0):
        reps = []
        for n in (1, 2, 3):
            rep = steady(n, intervals=24)
            parts = [
                changed(i, inferences_per_s=r) for i, r in zip(rep.timeseries, series, strict=True)
            ]
            reps.append(changed(rep, timeseries=parts, inferences_per_s=rate))
        runs.append(result(*reps))

    assert of(pair(*runs), "rate").verdict == "no difference shown"


def test_the_same_file_shows_no_difference() -> None:
    """Against itself a result has no change in any metric."""
    candidate = pair(result(), result())

    assert {c.change for c in candidate.changes} == {0.0}
    assert {c.verdict for c in candidate.changes} <= {"no difference shown", "cannot tell"}
    assert candidate.differences == []


@pytest.mark.parametrize("failing", ["base", "other", "both"])
def test_censored_quantiles_never_look_faster(failing: str) -> None:
    """Where p99 lies among time-outs that side can only be the slower one."""
    good = [repetition(n) for n in (1, 2, 3)]
    bad = [repetition(n, timeouts=200) for n in (1, 2, 3)]
    base = result(*(good if failing == "other" else bad))
    other = result(*(good if failing == "base" else bad))
    p99 = of(pair(base, other), "p99")

    expected = {"base": "faster", "other": "slower", "both": "cannot tell"}
    assert p99.verdict == expected[failing]
    assert (p99.low is None) == (failing != "other")
    assert (p99.high is None) == (failing != "base")


def test_a_quantile_that_has_become_a_timeout_fails_the_limit() -> None:
    """Where every resample puts p99 among time-outs, nothing about that is uncertain."""
    good = result(*(_in_20_intervals(n, timeouts=0) for n in (1, 2, 3)))
    bad = result(*(_in_20_intervals(n, timeouts=200) for n in (1, 2, 3)))

    candidate = pair(good, bad, "p99>+5%")

    assert within.standard_errors(bad.repetitions[0])["p99"] == 0.0
    assert of(candidate, "p99").verdict == "slower"
    assert candidate.limits[0].status == "failed"
    assert "changed by more than +" in candidate.limits[0].message


def _in_20_intervals(number: int, *, timeouts: int) -> Repetition:
    """Return a repetition whose time-outs, the same in every interval, show in its series."""
    each = [
        changed(interval(k, samples_ns(100 * number + k, 200)), timeouts=timeouts // 20)
        for k in range(20)
    ]
    return changed(repetition(number, timeouts=timeouts), timeseries=each)


def test_short_timeouts_do_not_make_a_failing_server_faster() -> None:
    """A bound below the base's value says nothing: the truth may be anywhere above."""
    other = run_with([2.0, 2.1, 1.9], beyond=["p99"])

    p99 = of(pair(run_with([10.0, 10.1, 9.9]), other, "p99>+5%"), "p99")
    assert p99.verdict == "cannot tell"


def test_few_repetitions_and_few_samples_cannot_tell() -> None:
    """One repetition, or a quantile with few samples, gives no verdict, with the reason."""
    one, three = result(repetition(1)), result()

    assert {c.verdict for c in pair(one, three).changes} == {"cannot tell"}
    assert "one repetition" in of(pair(one, three), "rate").reason
    assert any("one repetition" in note for note in pair(one, three).notes)
    assert of(pair(three, three), "p99.9").reason == "fewer than 10 samples above it"


def test_two_repetitions_are_said_to_be_few() -> None:
    """One line names the runs that have two; where one has a single one, that is said instead."""
    one, two, three = (run_with([10.0, 10.1, 9.9][:n]) for n in (1, 2, 3))

    def said(base: Result, other: Result) -> list[str]:
        return [note for note in pair(base, other).notes if "two repetitions" in note]

    assert said(three, three) == said(one, two) == []
    assert [note.partition(",")[0] for note in said(two, two)] == ["a and b have two repetitions"]
    assert [note.partition(",")[0] for note in said(three, two)] == ["b has two repetitions"]
    assert "--repetitions 6" in said(two, two)[0]


def test_more_repetitions_help_as_much_as_is_said() -> None:
    """For one spread three repetitions make an interval about half as wide, six below a third."""

    def width(repetitions: int) -> float:
        deviations = np.arange(repetitions) - (repetitions - 1) / 2
        values = list(10.0 * np.exp(0.01 * deviations / deviations.std(ddof=1)))
        rate = of(pair(run_with(values), run_with(values)), "rate")
        assert rate.low is not None
        assert rate.high is not None
        return math.log1p(rate.high) - math.log1p(rate.low)

    assert width(2) == pytest.approx(2 * 4.303 * 0.01, rel=1e-3)  # Student's t table: 2 degrees
    assert 0.45 < width(3) / width(2) < 0.55
    assert 0.25 < width(6) / width(2) < 1 / 3


def test_errors_are_a_difference_of_shares() -> None:
    """A rise from none to 2 % is shown in points; none seen on both sides is not none ever."""
    bad = result(*[repetition(n, errors=82) for n in (1, 2, 3)])
    errors, none = of(pair(result(), bad), "errors"), of(pair(result(), result()), "errors")

    assert errors.verdict == "more"
    assert errors.change == pytest.approx(82 / 4082)
    assert none.low is not None
    assert none.high is not None
    assert none.low < 0 < none.high < 0.001


@pytest.mark.parametrize(
    ("other", "limit", "status"),
    [
        ([13.0, 13.1, 12.9], "p99>+5%", "failed"),
        ([10.1, 10.15, 10.05], "p99>+5%", "kept"),
        ([10.3, 12.0, 9.0], "p99>+5%", "not excluded"),
        ([8.0, 8.1, 7.9], "rate<-3%", "failed"),
        ([8.0, 8.1, 7.9], "p99>+5%", "kept"),
        ([10.0, 10.0, 10.0], "errors>+0.5%", "kept"),
        ([10.0, 10.0, 10.0], "service.p99>+5%", "kept"),
        ([10.0, 10.0, 10.0], "max>+5%", "not excluded"),
    ],
)
def test_limits(other: list[float], limit: str, status: str) -> None:
    """Failed only where the change is shown and beyond; kept only where that is excluded."""
    candidate = pair(run_with([10.0, 10.1, 9.9]), run_with(other), limit)

    assert [li.status for li in candidate.limits] == [status]
    assert candidate.limits[0].message


def test_nothing_succeeded_fails_every_limit() -> None:
    """A server that answers nothing does not slip through for want of a quantile."""
    dead = [
        changed(
            repetition(n),
            counts=changed(repetition(n).counts, ok=0, timeouts=4000),
            response_ms=latency_of(samples_ns(1, 0), censored=4000),
            inferences_per_s=0.0,
            timeseries=[],
        )
        for n in (1, 2, 3)
    ]
    comparison = compare([("a", result()), ("b", result(*dead))], [parse_change("p99>+5%")])

    assert failed(comparison)
    assert "b: NOTHING SUCCEEDED" in comparison.candidates[0].notes


def test_differences_name_what_is_not_the_same_work() -> None:
    """Config, target, data and machine are compared; other work is said loudly and first."""
    base = changed(result(), target=changed(result().target, model_sha256="123"))
    other = changed(
        base,
        config={**base.config, "threads": 2, "out": "/somewhere"},
        target=changed(base.target, model_sha256="abc"),
        platform={**base.platform, "kernel": "6.2.0"},
    )
    candidate = pair(base, other)

    assert [(d.what, d.base, d.other, d.work) for d in candidate.differences] == [
        ("target.model_sha256", "123", "abc", True),
        ("config.threads", "1", "2", False),
        ("platform.kernel", "6.1.0", "6.2.0", False),
    ]
    assert candidate.notes == ["DIFFERENT WORK was measured: target.model_sha256"]


def test_outputs_in_shared_memory_are_other_work() -> None:
    """Replies that carry outputs are not those that do not."""
    inputs, both = (
        changed(
            result(),
            config={**result().config, "shm": True},
            target=changed(result().target, details={"shared_memory_outputs": outputs}),
        )
        for outputs in ("none", "y (8 bytes an inference)")
    )

    assert pair(inputs, both).notes == [
        "DIFFERENT WORK was measured: target.details.shared_memory_outputs"
    ]


def test_what_a_server_does_not_tell_is_no_other_work() -> None:
    """A server that does not say which model it runs may run the same one."""
    base = result()
    other = changed(base, target=changed(base.target, model_sha256="abc"))

    assert pair(base, other).notes == [
        "not told by both whether the same work was measured: target.model_sha256"
    ]


def with_streams(slow: float, command: str, *names: str) -> Result:
    """Return a run with these streams; the last is slower, the run as a whole is not."""
    factors = {name: slow if name == names[-1] else 1.0 for name in names}
    repetitions = [
        changed(r, streams=[_stream(name, r, factor) for name, factor in factors.items()])
        for r in run_with([10.0, 10.1, 9.9]).repetitions
    ]
    base = result(*repetitions)
    streams = [{"name": n, "command": {"commands": [[command]]}, "workload": n} for n in names]
    infos = [StreamInfo(name=name, target=base.target) for name in names]
    config = {**base.config, "streams": streams}
    return changed(base, config=config, streams=infos)


def _stream(name: str, source: Repetition, factor: float) -> StreamResult:
    response = source.response_ms
    slower = changed(response, p99=factor * (response.p99 or 0.0))
    return stream_of(name, source, response_ms=slower)


def test_a_stream_that_got_slower_is_found_among_others() -> None:
    """Each stream has its own lines and is held to each limit, though the whole shows nothing."""
    base, other = with_streams(1.0, "GET", "a", "b"), with_streams(1.5, "GET", "a", "b")
    candidate = pair(base, other, "p99>+5%")

    p99 = {c.stream: c.verdict for c in candidate.changes if c.metric == "p99"}
    assert p99 == {"": "no difference shown", "a": "no difference shown", "b": "slower"}
    assert [li.status for li in candidate.limits] == ["kept", "kept", "failed"]
    assert "stream b" in candidate.limits[-1].message
    assert candidate.differences == []
    console = render_console(compare([("a", base), ("b", other)])).decode()
    assert "b: p99, ms" in console


def test_streams_with_other_work_are_said() -> None:
    """Another command of a stream is other work; a stream of one side alone is named."""
    candidate = pair(with_streams(1.0, "GET", "a", "b"), with_streams(1.0, "SET", "a", "c"))

    assert [d.what for d in candidate.differences if d.base == '[["GET"]]'] == [
        "stream a: config.command.commands",
        "stream b: config.command.commands",
    ]
    assert any(n.startswith("DIFFERENT WORK") for n in candidate.notes)
    assert "only a has the streams b" in candidate.notes
    assert "only b has the streams c" in candidate.notes


def test_doubts_about_either_side_are_notes() -> None:
    """Partial results, a limited client and an open loop are said before the table."""
    rep: list[Repetition] = [changed(repetition(n), target_per_s=100.0) for n in (1, 2, 3)]
    other = changed(
        result(*rep, changed(repetition(4), status="partial"), status="partial"),
        error="the peer closed the connection",
        verdict=Verdict(verdict="client-limited", evidence=[]),
    )
    candidate = pair(result(), other)

    assert candidate.side.repetitions == 3
    text = " | ".join(candidate.notes)
    assert "b is PARTIAL: the peer closed the connection" in text
    assert "the client of b was client-limited" in text
    assert "open loop" in text


def test_what_cannot_be_compared_is_refused() -> None:
    """Fewer than two results, or one without repetitions, is one clear line."""
    with pytest.raises(UsageError, match="two results or more"):
        compare([("a", result())])
    with pytest.raises(UsageError, match="empty: holds no repetition"):
        compare([("a", result()), ("empty", changed(result(), repetitions=[]))])


def test_manifold_changes_have_no_tenths() -> None:
    """Digits that say nothing are left out of ends that are thousands of percent away."""
    comparison = compare([("a", run_with([10.0, 20.0])), ("b", run_with([10.0, 40.0]))])
    end = of(comparison.candidates[0], "rate").high

    assert end is not None
    assert end > 10
    assert f".. +{100 * end:,.0f} %  " in render_console(comparison).decode()


def test_console_and_markdown_show_the_same_cells() -> None:
    """Figures, verdicts, limits and differences are in both; no line is wider than 100."""
    other = run_with([13.0, 13.1, 12.9])
    comparison = compare(
        [("a", run_with([10.0, 10.1, 9.9])), ("b", other)], [parse_change("p99>+5%")]
    )
    console, markdown = (
        render(comparison).decode() for render in (render_console, render_markdown)
    )

    for text in (console, markdown.replace("\\", "")):
        for cell in ("10.000", "13.000", "+30.0 %", "slower", "p99>+5%", "95 % interval"):
            assert cell in text
    assert max(map(len, console.splitlines())) <= 100


def test_command(tmp_path: Path) -> None:
    """Folders and files are read; JSON is the data; a failed limit ends with 3."""
    for name, run in (("a", run_with([10.0, 10.1, 9.9])), ("b", run_with([13.0, 13.1, 12.9]))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_bytes(to_json(run))
    paths = [str(tmp_path / "a"), str(tmp_path / "b" / "result.json")]
    runner = CliRunner()

    passed = runner.invoke(cli.app, ["compare", *paths, "--format", "json"])
    limited = runner.invoke(cli.app, ["compare", *paths, "--fail-if", "p99>+5%"])

    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["candidates"][0]["changes"][0]["metric"] == "rate"
    assert limited.exit_code == 3
    assert "failed" in limited.stdout
    for wrong, says in (
        ([paths[0]], "two results or more"),
        ([*paths, "--fail-if", "p99>5%"], "with its sign"),
        ([*paths, "--format", "xml"], "choose console, markdown, json, html"),
        ([str(tmp_path / "c"), paths[0]], "cannot read"),
    ):
        done = runner.invoke(cli.app, ["compare", *wrong])
        assert isinstance(done.exception, UsageError)
        assert says in str(done.exception)


def test_interval_histograms_come_from_the_results_files() -> None:
    """Without the simulation's short cut they are decoded from the text in the file."""
    rep = repetition(1)
    parts = [changed(rep.timeseries[i % 4], start_s=float(i), end_s=i + 1.0) for i in range(8)]

    errors = within.standard_errors(changed(rep, timeseries=parts))

    assert set(errors) == {"rate", *latency.QUANTILES}
    assert all(0 <= e < 1 for e in errors.values())
    assert within.standard_errors(rep) == {}  # four intervals are too few


def test_what_both_sides_lack_is_said_once() -> None:
    """Two runs of one repetition make one line, which names both."""
    said = pair(result(repetition(1)), result(repetition(1))).notes
    once = [note for note in said if "have one repetition each" in note]

    assert len(once) == 1
    assert once[0].startswith("a and b have")


def test_connections_that_were_not_given_are_one_a_thread() -> None:
    """What differs names the number that was used, not that none was given."""
    base = result()
    left_out = changed(base, config={**base.config, "connections": None, "threads": 2})
    given = changed(base, config={**base.config, "connections": 4, "threads": 2})
    same = changed(base, config={**base.config, "connections": 2, "threads": 2})

    found = {d.what: (d.base, d.other) for d in pair(left_out, given).differences}
    assert found["config.connections"] == ("2", "4")
    assert pair(left_out, same).differences == []


def test_mark_of_few_samples_is_explained() -> None:
    """The legend has it where it stands beside a value, and only there."""
    marked = compare([("a", result()), ("b", result())], [])
    plain = changed(marked, candidates=[changed(marked.candidates[0], changes=[])])

    assert any(change.few for change in marked.candidates[0].changes)
    assert "~: fewer than 10 samples" in " ".join(render_console(marked).decode().split())
    assert "~:" not in render_console(plain).decode()
