"""The knee, on curves whose answer queueing theory gives."""

from __future__ import annotations

import pytest

from fastbench.knee import curves, find_knee
from fastbench.results import Counts, LatencySummary, Spread
from fastbench.sweeps import Cell, Figures, LittlesLaw, Point


def cell(settings: dict[str, int | float], rate: float, mean_ms: float | None) -> Cell:
    """Return a cell with these figures."""
    figures = Figures(
        inferences_per_s=rate,
        inferences_per_s_spread=Spread(min=rate, max=rate),
        samples_per_s=rate,
        offered_per_s=rate,
        mean_response_ms=mean_ms,
        response_ms=LatencySummary(),
        counts=Counts(intended=1, sent=1, ok=1),
        cpu_us_per_inference=None,
        littles_law=LittlesLaw(status="ok", in_flight=1.0, slots=1),
    )
    name = "_".join(f"{k}-{v}" for k, v in settings.items())
    return Cell(name=name, settings=settings, status="complete", figures=figures)


def mm1(mu: float, load: float, **fixed: int) -> Cell:
    """Return the cell of an M/M/1 server at this share of its rate: T = 1 / (mu - rate)."""
    rate = mu * load
    return cell({"rate": rate, **fixed}, rate, 1e3 / (mu - rate))


@pytest.mark.parametrize("mu", [3.0, 1000.0, 2e6])
def test_knee_of_mm1_is_at_half_load(mu: float) -> None:
    """Power of M/M/1 is x (mu - x): greatest at mu / 2 (Kleinrock 1979)."""
    (curve,) = curves([mm1(mu, load / 10) for load in (9, 1, 3, 7, 5, 2, 4, 6, 8)])

    assert curve.axis == "rate"
    assert [p.load for p in curve.points] == sorted(p.load for p in curve.points)
    assert curve.knee is not None
    assert curve.knee.load == pytest.approx(mu / 2)
    assert curve.knee.low < mu / 2 < curve.knee.high
    assert curve.points[4].power == pytest.approx(mu**2 / 4)


def test_knee_of_a_closed_queue_with_think_time_is_at_its_saturation_point() -> None:
    """Without queueing X = N / (S + Z) up to N* = (S + Z) / S; then R grows: the knee is at N*."""
    service_s, delay_s = 0.01, 0.07  # N* = 8
    cells = []
    for n in (1, 2, 4, 8, 16, 32):
        rate = min(n / (service_s + delay_s), 1 / service_s)
        cells.append(cell({"connections": n}, rate, 1e3 * n / rate))

    (curve,) = curves(cells)

    assert curve.knee is not None
    assert curve.knee.load == 8
    assert (curve.knee.low, curve.knee.high) == (4, 16)


@pytest.mark.parametrize(
    ("powers", "says"),
    [
        ([1.0, 2.0, 3.0, 4.0], "highest load"),
        ([4.0, 3.0, 2.0], "greatest at connections 1, and nothing is lower"),
        ([1.0, 1.01, 1.0, 0.99], "hardly changes"),
        ([1.0, 2.0], "fewer than 3"),
        ([1.0, None, 2.0], "fewer than 3"),
        ([1.0, 1.99, 2.0], "highest load"),
    ],
)
def test_no_knee_is_said_with_its_reason(powers: list[float | None], says: str) -> None:
    """A curve that does not turn within the sweep has no knee, and the advice fits its shape."""
    points = [Point(cell=str(i), load=i + 1, power=p) for i, p in enumerate(powers)]

    knee, finding = find_knee("connections", points)

    assert knee is None
    assert finding.startswith("no knee seen")
    assert says in finding


def test_lower_loads_are_advised_where_there_are_any() -> None:
    """From two connections on, and of a rate, which has no least."""
    for axis, first in (("connections", 2), ("rate", 1)):
        points = [Point(cell=str(i), load=first + i, power=4.0 - i) for i in range(3)]

        assert find_knee(axis, points)[1].endswith("greatest at the lowest load: sweep lower")


def test_each_combination_of_the_others_has_its_curve() -> None:
    """Cells that differ in more than the load axis are not joined by a curve."""
    cells = [mm1(mu, load / 10, threads=threads) for threads, mu in ((1, 10.0), (2, 20.0))
             for load in (2, 5, 8)]  # fmt: skip

    found = curves(cells)

    assert [curve.fixed for curve in found] == [{"threads": 1}, {"threads": 2}]
    assert [curve.knee.load for curve in found if curve.knee] == [5.0, 10.0]


def test_settings_that_are_no_load_have_no_curve() -> None:
    """Batch and threads change what is done, not how much is asked: there is no curve over them."""
    assert curves([cell({"batch": n}, 1.0, 1.0) for n in (1, 2, 4)]) == []
