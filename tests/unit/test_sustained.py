"""Whether a rate was sustained: each condition alone decides."""

from __future__ import annotations

import msgspec
import pytest
from support import sample_result

from fastbench.bisection import CLIENT_LIMITED, FAILED, HELD
from fastbench.results import (
    Repetition,
    Result,
    Verdict,
    Verification,
    Warning,
)
from fastbench.slo import parse_objectives
from fastbench.summary import summarize
from fastbench.sustained import judge
from fastbench.warnings import WRONG_ANSWERS

OBJECTIVES = parse_objectives(["p99<50ms", "errors<0.1%"])


def offered(*achieved: float, timeouts: int = 0) -> Result:
    """Return an open-loop result: 1,000/s due in each repetition, that share came back."""
    repetitions = [_repetition(i, share, timeouts) for i, share in enumerate(achieved, 1)]
    result = sample_result.result(*repetitions)
    return msgspec.structs.replace(result, summary=summarize(repetitions), warnings=[])


def _repetition(index: int, share: float, timeouts: int) -> Repetition:
    return msgspec.structs.replace(
        sample_result.repetition(index, timeouts=timeouts),
        offered_per_s=1000.0,
        target_per_s=1000.0,
        inferences_per_s=1000.0 * share,
    )


def test_rate_that_comes_back_in_time_holds() -> None:
    """Everything due came back, and within the limits."""
    outcome, reasons, limits = judge(offered(1.0, 0.995, 1.0), OBJECTIVES)

    assert (outcome, reasons) == (HELD, [])
    assert [limit.holds for limit in limits] == [True, True]
    assert limits[0].low is not None
    assert limits[0].low <= (limits[0].value or 0.0) <= (limits[0].high or 0.0)


def test_growing_queue_does_not_hold() -> None:
    """Latencies within the limits do not help when 2 % of the rate does not come back."""
    outcome, reasons, _ = judge(offered(0.98, 0.98, 0.98), OBJECTIVES)

    assert outcome == FAILED
    assert reasons == ["only 98.0% of the rate came back"]


def test_median_of_repetitions_decides() -> None:
    """One bad repetition of three does not fail a rate, two do."""
    assert judge(offered(1.0, 0.5, 1.0), OBJECTIVES)[0] == HELD
    assert judge(offered(1.0, 0.5, 0.5), OBJECTIVES)[0] == FAILED


def test_latency_beyond_the_limit_does_not_hold() -> None:
    """The limit that was missed is named with its value."""
    outcome, reasons, _ = judge(offered(1.0), parse_objectives(["p50<1ms"]))

    assert outcome == FAILED
    assert len(reasons) == 1
    assert reasons[0].startswith("p50<1ms does not hold: 2.9")


def test_lower_bound_does_not_hold() -> None:
    """With 5 % timed out p99 is only known to be above the time-out: no limit on it holds."""
    outcome, _, limits = judge(offered(1.0, timeouts=200), parse_objectives(["p99<1000s"]))

    assert outcome == FAILED
    assert limits[0].beyond


def test_never_sent_does_not_hold() -> None:
    """What was due and never sent is a schedule not kept."""
    result = offered(1.0)
    (repetition,) = result.repetitions
    counts = msgspec.structs.replace(repetition.counts, never_sent=3)
    repetition = msgspec.structs.replace(repetition, counts=counts)
    result = msgspec.structs.replace(result, repetitions=[repetition])

    outcome, reasons, _ = judge(result, OBJECTIVES)

    assert outcome == FAILED
    assert "3 inferences were due and never sent" in reasons


def test_run_that_broke_does_not_hold() -> None:
    """What ended early was not sustained, whatever was measured until then."""
    result = msgspec.structs.replace(offered(1.0), status="partial", error="connection refused")

    outcome, reasons, _ = judge(result, OBJECTIVES)

    assert outcome == FAILED
    assert reasons == ["the run is partial: connection refused"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [("client-ok", FAILED), ("suspect", FAILED), ("client-limited", CLIENT_LIMITED)],
)
def test_verdict_tells_whose_failure_it_is(verdict: str, outcome: str) -> None:
    """Only what the verdict puts down to the client is put down to the client."""
    judged = Verdict(verdict=verdict, evidence=[])

    assert judge(msgspec.structs.replace(offered(0.5), verdict=judged), OBJECTIVES)[0] == outcome
    assert judge(msgspec.structs.replace(offered(1.0), verdict=judged), OBJECTIVES)[0] == HELD


def test_without_a_verdict_nothing_is_put_down_to_the_client() -> None:
    """A missed schedule alone may be the server's: all connections were waiting for it."""
    late = [Warning(code="schedule-missed", message="")]

    result = msgspec.structs.replace(offered(0.5), warnings=late)

    assert judge(result, OBJECTIVES)[0] == FAILED


def test_wrong_answers_do_not_hold() -> None:
    """However fast, a server that answers wrongly sustains nothing."""
    result = offered(1.0)
    wrong = Verification(
        requested=9, checked=9, mismatches=1, max_abs_difference=1.0, tolerance=1e-3
    )
    (repetition,) = result.repetitions
    repetition = msgspec.structs.replace(repetition, verification=wrong)
    result = msgspec.structs.replace(result, repetitions=[repetition])

    assert judge(result, OBJECTIVES)[:2] == (FAILED, [WRONG_ANSWERS])


def test_bounds_are_known_as_bounds() -> None:
    """Of repetitions with and without time-outs the spread ends at a lower bound, and says so."""
    repetitions = [_repetition(1, 1.0, 0), _repetition(2, 1.0, 0), _repetition(3, 1.0, 200)]
    result = sample_result.result(*repetitions)
    result = msgspec.structs.replace(result, summary=summarize(repetitions), warnings=[])

    (limit,) = judge(result, parse_objectives(["p99<50ms"]))[2]

    assert (limit.low_beyond, limit.high_beyond) == (False, True)
    assert limit.high == repetitions[2].response_ms.p99


def test_nothing_succeeded_holds_nothing() -> None:
    """Without a success there is no latency that could hold."""
    result = msgspec.structs.replace(offered(1.0), summary=None)

    outcome, reasons, _ = judge(result, OBJECTIVES)

    assert outcome == FAILED
    assert reasons[0] == "p99<50ms does not hold: nothing was measured"
