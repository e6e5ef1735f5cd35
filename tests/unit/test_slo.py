"""Objectives and changes as people write them: read right, judged right, refused clearly."""

from __future__ import annotations

import msgspec
import pytest
from support.sample_result import repetition, result

from fastbench.errors import UsageError
from fastbench.slo import Metric, parse_change, parse_objective, parse_objectives

changed = msgspec.structs.replace


@pytest.mark.parametrize(
    ("text", "metric", "operator", "limit"),
    [
        ("p99<50ms", Metric("p99", "response"), "<", 50.0),
        (" service.p99.9 <= 250us ", Metric("p999", "service"), "<=", 0.25),
        ("response.max<1.5s", Metric("max", "response"), "<", 1500.0),
        ("p99.999<2s", Metric("p99999", "response"), "<", 2000.0),
        ("mean<3ms", Metric("mean", "response"), "<", 3.0),
        ("errors<0.1%", Metric("errors"), "<", 0.001),
        ("rate>=1000/s", Metric("rate"), ">=", 1000.0),
        ("throughput>12.5/s", Metric("rate"), ">", 12.5),
    ],
)
def test_objective_is_read(text: str, metric: Metric, operator: str, limit: float) -> None:
    """Metric, clock, operator and unit are taken as written."""
    objective = parse_objective(text)

    assert (objective.metric, objective.operator) == (metric, operator)
    assert objective.limit == pytest.approx(limit)
    assert objective.text == text.strip()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write METRIC"),
        ("p99", "write METRIC"),
        ("p99=50ms", "write METRIC"),
        ("p99<fast", "write METRIC"),
        ("p99<50 minutes", "write METRIC"),
        ("p99<1e3ms", "write METRIC"),
        ("p98<5ms", "'p98' is none of p25"),
        ("service.errors<1%", "'service.errors' is none of"),
        ("client.p99<1ms", "'client.p99' is none of"),
        ("p99<50", "with us, ms or s"),
        ("p99<5%", "with us, ms or s"),
        ("errors<5", "errors with %"),
        ("rate>5ms", "rate with /s"),
        ("p99<+5ms", "only a comparison"),
    ],
)
def test_bad_objective_is_one_clear_line(text: str, says: str) -> None:
    """Whatever is wrong is said with the text and how to write it."""
    with pytest.raises(UsageError, match=says) as caught:
        parse_objective(text)

    assert str(caught.value).startswith(repr(text.strip()))
    assert "\n" not in str(caught.value)


def test_several_objectives_at_once() -> None:
    """Commas separate them; two limits in one direction for one metric are refused."""
    texts = [o.text for o in parse_objectives(["p99<50ms, errors<0.1%", "rate>10/s"])]

    assert texts == ["p99<50ms", "errors<0.1%", "rate>10/s"]
    with pytest.raises(UsageError, match="another limit for the same"):
        parse_objectives(["p99<50ms", "p99<=60ms"])


def test_objective_is_judged_by_what_was_measured() -> None:
    """A repetition and a summary hold exactly those limits that their own figures keep."""
    one, run = repetition(1, errors=40), result()
    assert run.summary is not None
    p99 = one.response_ms.p99
    assert p99 is not None

    assert parse_objective(f"p99<{p99 + 0.001:.6f}ms").holds(one)
    assert not parse_objective(f"p99<{p99 - 0.001:.6f}ms").holds(one)
    assert parse_objective("errors<1%").holds(one)  # 40 of 4,040
    assert not parse_objective("errors<0.99%").holds(one)
    assert parse_objective("errors<=0%").holds(run.summary)
    assert parse_objective(f"rate>={run.summary.inferences_per_s}/s").holds(run.summary)
    assert not parse_objective(f"rate>{run.summary.inferences_per_s}/s").holds(run.summary)


def test_service_and_response_are_two_clocks() -> None:
    """The prefix chooses the distribution."""
    one = repetition(1)
    one = changed(one, service_ms=changed(one.service_ms, p99=1.0))

    assert parse_objective("service.p99<2ms").holds(one)
    assert not parse_objective("p99<2ms").holds(one)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        *(("p99<60s", False), ("p99<=30s", False), ("p99>30s", True), ("p99>31s", False)),
        *(("mean<60s", False), ("mean>1ms", True)),  # of the successes alone
    ],
)
def test_lower_bound_never_satisfies_an_upper_limit(text: str, holds: bool) -> None:
    """Where p99 is only known to be above the time-out, no limit above that is shown to hold."""
    failing = repetition(1, timeouts=200)
    assert "p99" in failing.response_ms.beyond
    assert failing.response_ms.p99 == pytest.approx(30_000)

    assert parse_objective(text).holds(failing) is holds


def test_what_was_not_measured_holds_nothing() -> None:
    """Without a success there is no quantile, and without inferences no share of errors."""
    one = repetition(1)
    none = changed(one, response_ms=changed(one.response_ms, p99=None))
    idle = changed(one, counts=changed(one.counts, intended=0, ok=0))

    assert not parse_objective("p99<1s").holds(none)
    assert not parse_objective("p99>0ms").holds(none)
    assert not parse_objective("errors<1%").holds(idle)


@pytest.mark.parametrize(
    ("text", "metric", "limit"),
    [
        ("p99>+5%", Metric("p99", "response"), 0.05),
        ("service.p50>+0.5%", Metric("p50", "service"), 0.005),
        ("throughput<-3%", Metric("rate"), -0.03),
        ("errors>+0.1%", Metric("errors"), 0.001),
    ],
)
def test_change_is_read(text: str, metric: Metric, limit: float) -> None:
    """Metric and signed limit are taken as written."""
    change = parse_change(text)

    assert change.metric == metric
    assert change.limit == pytest.approx(limit)
    assert change.exceeded_by(limit * 1.01)
    assert not change.exceeded_by(limit * 0.99)


def test_change_of_nothing_allows_no_change_that_way() -> None:
    """``+0%`` and ``-0%`` forbid any rise and any fall."""
    rise, fall = parse_change("p99>+0%"), parse_change("rate<-0%")

    assert [rise.exceeded_by(x) for x in (-0.1, 0.0, 1e-9)] == [False, False, True]
    assert [fall.exceeded_by(x) for x in (0.1, 0.0, -1e-9)] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99", "write METRIC"),
        ("p99>5%", "with its sign and %"),
        ("p99>+5ms", "with its sign and %"),
        ("p99<+5%", "a rise is written >\\+"),
        ("rate>-5%", "a rise is written"),
        ("rate>=+5%", "a rise is written"),
        ("rate<-100%", "nothing falls by 100 %"),
        ("speed<-5%", "'speed' is none of"),
    ],
)
def test_bad_change_is_one_clear_line(text: str, says: str) -> None:
    """Whatever is wrong is said with the text and how to write it."""
    with pytest.raises(UsageError, match=says) as caught:
        parse_change(text)

    assert str(caught.value).startswith(repr(text))
