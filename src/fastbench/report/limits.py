"""How a limit of a search is written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report import numbers

if TYPE_CHECKING:
    from fastbench.searches import Limit


def shown(limit: Limit) -> str:
    """Return the value of a limit with its unit: ``61.2 ms``, ``0.35 %``, ``980/s``."""
    if limit.value is None:
        return "nothing was measured"
    if limit.objective.startswith("errors"):
        return f"{limit.value:.3%}".replace("%", " %")
    if limit.objective.startswith(("rate", "throughput")):
        return f"{numbers.rate(limit.value)}/s"
    decimals = numbers.milliseconds_decimals(limit.value)
    text = numbers.milliseconds(limit.value, decimals, beyond=limit.beyond, few=limit.few_samples)
    return f"{text} ms"
