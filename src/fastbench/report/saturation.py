"""The client-saturation test as text with bars, and as Markdown."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from fastbench.report.bars import bar
from fastbench.report.grid import text_table
from fastbench.report.markdown import escape, table

if TYPE_CHECKING:
    from fastbench.saturations import Ceiling, Saturation, Step

BAR = 24
LEGEND = """ceiling/s = threads / CPU time per inference. reached/s is bound by round trips and,
where it is marked >=, by the null server. The bars are on a logarithmic scale."""
BUSY = 0.80  # above it the null server bounds the rate that was reached
CEILINGS = (
    *("load", "threads", "CPU us/inference", "ceiling/s", "reached/s"),
    *("client busy", "server busy", "p99 ms"),
)
STEPS = ("load", "threads", "offered/s", "achieved/s", "lag p50 ms", "lag p99 ms", "busy", "client")


def console(test: Saturation) -> str:
    """Return the test as plain text: the ceilings with a bar each, then the steps."""
    top = max((c.ceiling_per_s / c.threads for c in test.ceilings), default=1.0)
    rows = [[*ceiling_cells(c), bar(_log(c, top), BAR)] for c in test.ceilings]
    parts = (
        _head(test),
        text_table((*CEILINGS, "ceiling per thread"), rows, left=0),
        LEGEND,
        text_table(STEPS, [step_cells(s) for s in test.steps], left=0),
        "The first step that is not client-ok is where this client stops to be trusted.",
    )
    return "\n\n".join(parts) + "\n"


def _head(test: Saturation) -> str:
    return f"against the null server over {test.socket}, {test.duration_s:g} s each"


def markdown(test: Saturation) -> bytes:
    """Return the test as Markdown tables, UTF-8."""
    lines = [
        "## fastbench client-saturation test",
        f"\n{_head(test)}\n",
        *table(CEILINGS, [[escape(t) for t in ceiling_cells(c)] for c in test.ceilings]),
        "",
        *table(STEPS, [[escape(t) for t in step_cells(s)] for s in test.steps]),
    ]
    return ("\n".join(lines) + "\n").encode()


def ceiling_cells(c: Ceiling) -> list[str]:
    """Return the cells of a row of :data:`CEILINGS`."""
    return [
        c.load,
        str(c.threads),
        f"{c.cpu_us_per_inference:,.2f}",
        f"{c.ceiling_per_s:,.0f}",
        f"{'>= ' if c.server_busy > BUSY else ''}{c.reached_per_s:,.0f}",
        f"{c.client_busy:.0%}",
        f"{c.server_busy:.0%}",
        "-" if c.p99_ms is None else f"{c.p99_ms:.3f}",
    ]


def step_cells(s: Step) -> list[str]:
    """Return the cells of a row of :data:`STEPS`."""
    return [
        s.load,
        str(s.threads),
        f"{s.offered_per_s:,.0f}",
        f"{s.achieved_per_s:,.0f}",
        *("-" if lag is None else f"{lag:.3f}" for lag in (s.send_lag_p50_ms, s.send_lag_p99_ms)),
        f"{s.client_busy:.0%}",
        s.verdict,
    ]


def _log(c: Ceiling, top: float) -> float:
    """Return the length of a bar: a thousandth of the highest is the shortest."""
    return max(0.0, 1 + log10(c.ceiling_per_s / c.threads / top) / 3)
