"""The client-saturation test as a page: ceilings by threads, and where the schedule is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.report.html.elements import element
from fastbench.report.html.page import page
from fastbench.report.html.plots import Plot, Section, axis, line
from fastbench.report.saturation import CEILINGS, STEPS, ceiling_cells, step_cells

if TYPE_CHECKING:
    from fastbench.saturations import Saturation


def render(test: Saturation) -> bytes:
    """Return the page, UTF-8."""
    head = element(
        "p", f"Against the null server over {test.socket}, {test.duration_s:g} s for each point."
    )
    sections = (
        Section("ceilings", "What the client can do", plots=(_ceilings(test),)),
        Section("steps", "Where it stops to keep a schedule", plots=(_lags(test),)),
    )
    return page("fastbench client-saturation test", head, sections)


def _ceilings(test: Saturation) -> Plot:
    loads = list(dict.fromkeys(c.load for c in test.ceilings))
    counts = sorted({c.threads for c in test.ceilings})
    traces = []
    for style, load in enumerate(loads):
        points = [c for c in test.ceilings if c.load == load]
        x = [c.threads for c in points]
        ceilings = [c.ceiling_per_s for c in points]
        traces.append(line(load, x, ceilings, style, mode="lines+markers"))
    return Plot(
        name="ceilings",
        title="Ceiling by number of threads",
        reading="Inferences per second that the client's threads have CPU time for: a straight "
        "line through the origin means that threads do not hinder each other.",
        doubt="a thread shared its CPU with the null server, which needs CPUs of its own.",
        traces=traces,
        layout={
            "xaxis": axis("client threads", rangemode="tozero", tickmode="array", tickvals=counts),
            "yaxis": axis("inferences/s", rangemode="tozero"),
        },
        columns=CEILINGS,
        rows=[ceiling_cells(c) for c in test.ceilings],
        log_y=True,
        starts_log=True,
    )


def _lags(test: Saturation) -> Plot:
    groups = list(dict.fromkeys((s.load, s.threads) for s in test.steps))
    traces = []
    for style, (load, threads) in enumerate(groups):
        points = [s for s in test.steps if (s.load, s.threads) == (load, threads)]
        x = [100 * s.share for s in points]
        y = [s.send_lag_p99_ms for s in points]
        traces.append(
            line(
                f"{load}, {threads} thread{'' if threads == 1 else 's'}",
                x,
                y,
                style,
                mode="lines+markers",
            )
        )
    return Plot(
        name="lags",
        title="Send lag by offered rate",
        reading="p99 of how late inferences left, at a share of the rate that the closed loop "
        "reached: where the line turns up the client, or the null server, is full.",
        doubt="the verdict in the table is not client-ok: the rate is beyond this client.",
        traces=traces,
        layout={
            "xaxis": axis("% of the closed loop's rate"),
            "yaxis": axis("send lag p99, ms", rangemode="tozero"),
        },
        columns=STEPS,
        rows=[step_cells(s) for s in test.steps],
        log_y=True,
        starts_log=True,
    )
