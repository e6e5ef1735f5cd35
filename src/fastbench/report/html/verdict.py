"""Was the client the bottleneck? The verdict and each piece of evidence beside its threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastbench.report import numbers
from fastbench.report.html.elements import Html, advice, element, figure_of, join, table
from fastbench.report.html.plots import Section
from fastbench.wording import wording

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.results import Calibration, Result, Verdict

MEANING: Final = {
    "client-ok": "✓ client-ok: nothing shows that the client was the bottleneck",
    "suspect": "? suspect: the client may have been the bottleneck",
    "client-limited": "✗ client-limited: these numbers describe the client, not the server",
}
SYMBOLS: Final = {"ok": "✓", "suspect": "?", "client-limited": "✗", "not available": "-"}
NOT_JUDGED = "not judged: this result holds no verdict on the client"


def verdict_section(result: Result) -> Section:
    """Return the verdict with its evidence; a result without one says so."""
    verdict = result.verdict
    text = NOT_JUDGED if verdict is None else MEANING.get(verdict.verdict, verdict.verdict)
    name = verdict.verdict if verdict and verdict.verdict in MEANING else "none"
    parts = [element("p", element("strong", text), class_=f"banner {name}")]
    if verdict is not None:
        parts.append(_evidence(verdict))
    if result.calibration is not None:
        parts.append(_calibration(result.calibration, wording(result.config)))
    return Section("verdict", "Was the client the bottleneck?", join(parts))


def _evidence(verdict: Verdict) -> Html:
    rows = [
        (
            evidence.name,
            _status(evidence.status),
            advice(evidence.figure),
            evidence.threshold,
            advice(evidence.advice),
        )
        for evidence in verdict.evidence
    ]
    columns = ("evidence", "status", "figure", "threshold", "what to do")
    return table(columns, rows, class_="text stack") if rows else Html()


def _status(status: str) -> Html:
    known = status if status in SYMBOLS else "none"
    text = f"{SYMBOLS.get(status, '')} {status}".strip()
    return element("span", text, class_=f"status {known.replace(' ', '-')}")


def _calibration(calibration: Calibration, say: Callable[[str], str]) -> Html:
    at_least = "at least " if calibration.raw_is_bound else ""
    return element(
        "p",
        say(
            "The client's ceiling for this plan, from its CPU time per inference against the null "
            "server: about "
        ),
        figure_of(
            "calibration.ceiling_per_s",
            calibration.ceiling_per_s,
            numbers.two_digits(calibration.ceiling_per_s),
        ),
        say(f" inferences/s. Reached there: {at_least}"),
        figure_of(
            "calibration.raw_per_s", calibration.raw_per_s, numbers.rate(calibration.raw_per_s)
        ),
        f"/s, null server {calibration.server}, {numbers.seconds(calibration.measured_s)}"
        f"{', from an earlier calibration' if calibration.cached else ''}.",
    )
