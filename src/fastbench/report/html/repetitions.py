"""The repetitions side by side: how far the headline numbers vary from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.report.html.plots import FAINT, Json, Plot, axis, dots
from fastbench.report.rows import name_of
from fastbench.summary import counted, median_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import Repetition

#: What is compared: label and place in a ``Repetition``.
COMPARED: Final = {
    "inferences/s": "inferences_per_s",
    "response p50": "response_ms.p50",
    "response p95": "response_ms.p95",
    "response p99": "response_ms.p99",
    "service p50": "service_ms.p50",
    "client CPU/inference": "client.cpu_us_per_inference",
}
MAX_NAMES: Final = 6  # repetitions with their own mark; beyond it all look alike


def repetitions_plot(repetitions: Sequence[Repetition]) -> Plot | None:
    """Return a dot for each repetition and number; None for fewer than two repetitions."""
    values = {label: [at(r, path) for r in repetitions] for label, path in COMPARED.items()}
    values = {label: known for label, known in values.items() if any(known)}
    if len(repetitions) < 2 or not values:  # noqa: PLR2004 - nothing to compare with
        return None
    whole = counted(repetitions)
    medians = {label: median_of(at(r, COMPARED[label]) for r in whole) or 0.0 for label in values}
    return Plot(
        name="repetitions",
        title="Repetitions side by side",
        reading="Each repetition as a percentage of the median (the line at 100 %): what "
        "lies apart differs from run to run.",
        doubt="the dots of a number lie more than 10 % apart: then a difference between two runs "
        "of that size means nothing. A time that is only a lower bound is drawn at that bound.",
        traces=_traces(repetitions, values, medians),
        layout={
            "xaxis": axis("% of the median"),
            "yaxis": axis("", autorange="reversed"),
            "shapes": [_median_line()],
            "hovermode": "closest",
        },
        height_px=320,
        columns=("number", *(name_of(r) for r in repetitions), "median"),
        rows=[_row(label, values[label], medians[label]) for label in values],
    )


def at(record: object, path: str) -> float | None:
    """Return the number at a dotted path of attributes; None where something on it is None."""
    for name in path.split("."):
        record = getattr(record, name) if record is not None else None
    return record if isinstance(record, int | float) else None


def _traces(
    repetitions: Sequence[Repetition],
    values: dict[str, list[float | None]],
    medians: dict[str, float],
) -> list[Json]:
    labels = list(values)
    few = len(repetitions) <= MAX_NAMES
    return [
        dots(
            name_of(r),
            [_percent(values[label][i], medians[label]) for label in labels],
            labels,
            i if few else 0,
            showlegend=few,
        )
        for i, r in enumerate(repetitions)
    ]


def _percent(value: float | None, median: float) -> float | None:
    return None if value is None or not median else round(100 * value / median, 3)


def _row(label: str, values: Sequence[float | None], median: float) -> list[Cell]:
    return [label, *values, median]


def _median_line() -> Json:
    return {
        "type": "line",
        "yref": "paper",
        "x0": 100,
        "x1": 100,
        "y0": 0,
        "y1": 1,
        "line": {"color": FAINT, "width": 1},
    }
