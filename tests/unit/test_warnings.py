"""Each doubt is raised by its cause and only by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.sample_result import client, result
from support.simulated import steady

from fastbench.results import (
    Counts,
    DatasetInfo,
    ErrorClass,
    Repetition,
    Result,
    StreamInfo,
    TargetInfo,
    Verification,
)
from fastbench.summary import summarize
from fastbench.warnings import assess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

changed = msgspec.structs.replace


def long(number: int) -> Repetition:
    """Return a repetition that is long enough to raise no doubt."""
    return steady(number)


def fair() -> Result:
    """Return a run that deserves no warning."""
    return result(*[long(n) for n in (1, 2, 3)])


def with_repetition(**fields: Any) -> Result:
    """Return the fair run with its first repetition changed."""
    run = fair()
    return changed(run, repetitions=[changed(long(1), **fields), *run.repetitions[1:]])


def with_counts(**counts: int) -> Result:
    """Return the fair run with other counts in the first repetition."""
    fields: dict[str, Any] = {"intended": 100, "sent": 100, "ok": 90, **counts}
    return with_repetition(counts=Counts(**fields))


def with_thread(**fields: Any) -> Result:
    """Return the fair run with its client thread changed."""
    usage = client()
    return with_repetition(client=changed(usage, threads=[changed(usage.threads[0], **fields)]))


def with_host(**fields: Any) -> Result:
    """Return the fair run with the host changed."""
    host = client().host
    assert host is not None
    return with_repetition(client=changed(client(), host=changed(host, **fields)))


def with_rates(*rates: float) -> Result:
    """Return a run of as many repetitions with these rates."""
    reps = [changed(long(n + 1), inferences_per_s=rate) for n, rate in enumerate(rates)]
    return changed(result(*reps), summary=summarize(reps))


def with_target(url: str, **fields: Any) -> Result:
    """Return the fair run against another target."""
    return changed(fair(), target=TargetInfo(url=url, kind="redisai", **fields))


def codes(run: Result) -> list[str]:
    """Return the codes of all warnings."""
    return [warning.code for warning in assess(run)]


def few_samples() -> Result:
    """Return a run with a marked p99."""
    return with_repetition(response_ms=changed(long(1).response_ms, few_samples=["p99", "p999"]))


def clipped() -> Result:
    """Return a run with a response above 1 h."""
    return with_repetition(response_ms=changed(long(1).response_ms, clipped=1))


def mismatch() -> Result:
    """Return a run with a wrong answer."""
    check = Verification(
        requested=4, checked=4, mismatches=1, max_abs_difference=0.5, tolerance=1e-4
    )
    return with_repetition(verification=check)


def unchecked() -> Result:
    """Return a run that compared fewer replies than it was to."""
    check = Verification(
        requested=None,
        checked=90,
        mismatches=0,
        max_abs_difference=0.0,
        tolerance=1e-4,
        unchecked=10,
    )
    return with_repetition(verification=check)


def synthetic() -> Result:
    """Return a run on made-up images."""
    return changed(fair(), dataset=synthetic_data("x"))


def synthetic_data(path: str) -> DatasetInfo:
    """Return a dataset of made-up images."""
    return DatasetInfo(path=path, rows=8, shape=[2], dtype="float32", synthetic=True)


def cold() -> Result:
    """Return a run on a dataset that was not in memory."""
    return changed(fair(), dataset=cold_data("x"))


def cold_data(path: str) -> DatasetInfo:
    """Return a dataset of 6 MiB, half of which was not in memory."""
    return changed(synthetic_data(path), synthetic=False, bytes=6 * 2**20, resident_bytes=3 * 2**20)


def errors() -> Result:
    """Return a run with errors of one class."""
    classes = {"ERR": ErrorClass(count=10, first_text="ERR model key is empty")}
    counts = Counts(intended=100, sent=100, ok=90, errors=10, errors_by_class=classes)
    return with_repetition(counts=counts)


def on_platform(**facts: Any) -> Result:
    """Return a run of 4 threads on a machine with these facts."""
    run = fair()
    return changed(run, config={**run.config, "threads": 4}, platform=facts)


def second_stream(config: dict[str, Any] | None = None, **fields: Any) -> Result:
    """Return a run of two streams of which only the second gives reason for doubt."""
    run = fair()
    names = ("a", "b")
    configs = [{"name": "a", "tls": None}, {"name": "b", "tls": None, **(config or {})}]
    data = DatasetInfo(path="x", rows=8, shape=[2], dtype="float32", synthetic=False)
    streams = [StreamInfo(name=name, target=run.target, dataset=data) for name in names]
    streams[1] = changed(streams[1], **fields)
    return changed(run, config={**run.config, "streams": configs}, streams=streams)


CASES: dict[str, tuple[Callable[[], Result], str]] = {
    "partial": (lambda: changed(fair(), status="partial"), "partial"),
    "interrupted": (lambda: changed(fair(), status="interrupted"), "partial"),
    "errors": (errors, "errors"),
    "timeouts": (lambda: with_counts(timeouts=10), "timeouts"),
    "lost": (lambda: with_counts(lost=10), "lost"),
    "unfinished": (lambda: with_counts(unfinished=10), "unfinished"),
    "never sent": (lambda: with_counts(sent=90, never_sent=10), "unfinished"),
    "unsteady": (lambda: with_rates(9000.0, 9010.0, 9020.0), "unsteady"),
    "clipped": (clipped, "clipped"),
    "wrong": (mismatch, "wrong-answers"),
    "unchecked": (unchecked, "unchecked-answers"),
    "insecure": (
        lambda: changed(fair(), config={**fair().config, "tls": {"insecure": True}}),
        "tls-insecure",
    ),
    "unready": (
        lambda: with_target("torchserve://a/m", details={"readiness": "not checked: closed"}),
        "readiness-not-checked",
    ),
    "unpinned": (lambda: with_thread(cpu=None), "unpinned"),
    "governor": (lambda: on_platform(cpu_governor="powersave"), "cpu-governor"),
    "random": (lambda: with_target("redisai://a", random_weights=True), "random-weights"),
    "synthetic": (synthetic, "synthetic-dataset"),
    "model": (
        lambda: changed(with_target("rest://a/p"), config={**fair().config, "model": "m"}),
        "model-not-compared",
    ),
    "cold": (cold, "cold-cache"),
    "insecure stream": (lambda: second_stream({"tls": {"insecure": True}}), "tls-insecure"),
    "random stream": (
        lambda: second_stream(target=with_target("redisai://b", random_weights=True).target),
        "random-weights",
    ),
    "synthetic stream": (lambda: second_stream(dataset=synthetic_data("y")), "synthetic-dataset"),
    "cold stream": (lambda: second_stream(dataset=cold_data("y")), "cold-cache"),
    "few": (few_samples, "few-samples"),
    "short": (lambda: with_repetition(measured_s=0.5), "short-run"),
    "unstable": (lambda: with_rates(100.0, 90.0, 120.0), "unstable"),
    "untested": (
        lambda: changed(fair(), config={**fair().config, "profile": "1:30s"}),
        "steadiness-untested",
    ),
    "single": (lambda: with_rates(100.0), "single-repetition"),
}


@pytest.mark.parametrize("case", CASES)
def test_cause_raises_its_warning_and_no_other(case: str) -> None:
    """One cause gives one warning, with a message and an advice of one line each."""
    make, code = CASES[case]
    warnings = assess(make())

    assert [w.code for w in warnings] == [code]
    assert warnings[0].message
    assert warnings[0].advice
    assert "\n" not in warnings[0].message + warnings[0].advice


@pytest.mark.parametrize(
    "run",
    [
        fair(),
        with_thread(busy=0.79),
        with_rates(100.0, 97.0, 103.0),
        on_platform(cpus_allowed=[0, 1, 2, 3], cpu_governor="performance"),
        on_platform(),
    ],
)
def test_fair_run_raises_none(run: Result) -> None:
    """Just inside the limits, and where nothing is known, there is no warning."""
    assert codes(run) == []


def test_gravest_first() -> None:
    """A partial run with errors is called that before anything else."""
    run = changed(errors(), status="partial", target=fair().target)

    assert codes(run)[:2] == ["partial", "errors"]


def test_cold_datasets_add_up() -> None:
    """What several streams miss is added up, each dataset once."""
    both = second_stream(dataset=cold_data("y"))
    twice = changed(both, streams=[changed(s, dataset=cold_data("y")) for s in both.streams])
    two = changed(both, streams=[changed(s, dataset=cold_data(s.name)) for s in both.streams])

    for run, size in ((both, "3 MiB"), (twice, "3 MiB"), (two, "6 MiB")):
        assert assess(run)[0].message.startswith(size)


def test_first_error_text_is_in_the_message() -> None:
    """The reader sees what the server said."""
    assert "ERR model key is empty" in assess(errors())[0].message


def test_reason_is_in_the_message() -> None:
    """A partial run says why it ended."""
    run = changed(fair(), status="partial", error="redisai://a: the peer closed the connection")

    assert "the peer closed the connection" in assess(run)[0].message


def test_empty_run() -> None:
    """A run without any repetition can be assessed."""
    run = changed(fair(), repetitions=[], summary=None, status="partial")

    assert codes(run) == ["partial"]


def test_every_code_is_documented(root: Path) -> None:
    """docs/results.md lists the codes of all cases above."""
    text = (root / "docs" / "results.md").read_text(encoding="utf-8")
    table = text.split("### Warning codes")[1].split("###")[0]

    for _, code in CASES.values():
        assert f"`{code}`" in table


def test_unfinished_by_an_interrupt() -> None:
    """What a cut-short repetition left unanswered is no sign of a slow server."""
    run = with_counts(unfinished=10)
    cut = changed(run, repetitions=[changed(r, status="interrupted") for r in run.repetitions])
    assert "unfinished" in codes(run)
    assert "unfinished" not in codes(cut)


def broken(status: str) -> Result:
    """Return a run whose second repetition ended early: a slow one, with inferences unsent."""
    last = changed(
        long(2),
        status=status,
        inferences_per_s=7.0,
        counts=Counts(intended=100, sent=96, ok=96, never_sent=4),
    )
    run = result(long(1), last, status=status)
    return changed(run, config=run.config | {"repetitions": 3})


def test_unsent_when_the_server_was_gone() -> None:
    """The share is of that repetition, named as what it is, and no lower load is advised."""
    (found,) = (w for w in assess(broken("partial")) if w.code == "unfinished")

    assert found.message == (
        "4 of 100 inferences (4.00%) were due but not yet sent when an error ended the repetition"
    )
    assert "lower" not in found.advice


def test_a_repetition_that_an_error_ended_is_not_unstable() -> None:
    """Why it was slower is known: nobody need look for other work on the machines."""
    assert "unstable" in codes(with_rates(1000, 7))
    assert codes(broken("partial")) == ["partial", "unfinished", "single-repetition"]


def test_how_many_repetitions_are_complete() -> None:
    """The one that broke is not among them."""
    (found,) = (w for w in assess(broken("interrupted")) if w.code == "partial")

    assert found.message == "the run is interrupted (complete repetitions: 1 of 3)"
