"""The result of the ONNX suite as tables for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench import suites
from fastbench.report import numbers
from fastbench.report.grid import text_table
from fastbench.report.markdown import escape, table
from fastbench.report.printing import check_name, print_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbench.results import Latency
    from fastbench.suites import Session, SuiteModel, SuiteResult

    #: Title, heads, rows.
    Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]

QUANTILES = ("p50", "p95", "p99")
NOT_AVAILABLE = "not available"
_MB = 1e6


def console(suite: SuiteResult) -> bytes:
    """Return the suite as plain text."""
    parts = ["\n".join(_head(suite))]
    parts += [f"{title}\n{text_table(heads, rows, left=0)}" for title, heads, rows in tables(suite)]
    return ("\n\n".join(parts) + "\n").encode()


def markdown(suite: SuiteResult) -> bytes:
    """Return the suite as Markdown tables."""
    first, *others = map(escape, _head(suite))
    lines = [f"## {first}", "", *(f"* {line}" for line in others)]
    for title, heads, rows in tables(suite):
        cells = [[escape(cell) for cell in row] for row in rows]
        lines += ["", f"### {title}", "", *table(heads, cells)]
    return ("\n".join(lines) + "\n").encode()


def _head(suite: SuiteResult) -> Iterator[str]:
    status = "" if suite.status == "complete" else f", {suite.status.upper()}"
    yield f"fastbench {suite.fastbench_version}: ONNX suite{status}"
    if suite.error:
        yield f"error    {suite.error}"
    at_a_time = suite.threads_per_queue
    each = NOT_AVAILABLE if at_a_time is None else f"{at_a_time} at a time on each device"
    yield f"target   {suite.url}: {suite.server}, device {suite.config['device']}"
    yield f"executes {each}"
    yield f"started  {suite.started_at[:19].replace('T', ' ')} UTC"
    if any(model.random_weights for model in suite.models):
        yield "models   random weights: the cost is real, the predictions mean nothing"


def tables(suite: SuiteResult) -> Iterator[Table]:
    """Yield the tables: title, heads, rows."""
    heads: tuple[str, ...] = (
        *("model", "keys", "file MB", "parameters", "multiply-adds", "stored in", "difference"),
    )
    yield "Models", heads, [_model(model) for model in suite.models]
    memory: list[tuple[str, ...]] = [
        (step.step, _megabytes(step.used_memory_bytes), _megabytes(step.rss_bytes))
        for step in suite.memory
    ]
    yield "Server memory", ("after", "used_memory MB", "RSS MB"), memory
    heads = (
        *("session", "clients", "inferences", "failed", "inferences/s"),
        *(f"{q} ms" for q in QUANTILES),
        *("CPU us", "client busy"),
    )
    yield "Sessions", heads, [_session(session) for session in suite.sessions]


def _model(model: SuiteModel) -> tuple[str, ...]:
    adds = model.multiply_adds
    difference = model.max_abs_difference
    return (
        f"{model.name}: {model.model}",
        str(model.keys),
        f"{model.file_bytes / _MB:,.3f}",
        "-" if model.parameters is None else numbers.count(model.parameters),
        "-" if adds is None else numbers.count(adds),
        numbers.seconds(model.load_s),
        "not compared" if difference is None else f"{difference:.1e}",
    )


def _session(session: Session) -> tuple[str, ...]:
    counts = session.counts
    cost = session.client_us_per_inference
    return (
        f"{session.kind}, {session.model}",
        str(session.clients),
        numbers.count(counts.intended),
        numbers.count(counts.intended - counts.ok),
        numbers.rate(session.inferences_per_s),
        *(_quantile(session.response_ms, q) for q in QUANTILES),
        numbers.cost_format(cost)(cost),
        f"{100 * session.client_busy:.1f} %",
    )


def _quantile(latency: Latency, name: str) -> str:
    return numbers.milliseconds(
        getattr(latency, name),
        numbers.milliseconds_decimals(latency.p50),
        beyond=name in latency.beyond,
        few=name in latency.few_samples,
    )


def _megabytes(value: int | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value / _MB:,.1f}"


FORMATS: dict[str, Callable[[SuiteResult], bytes]] = {
    "console": console,
    "json": suites.to_json,
    "markdown": markdown,
}


def check_format(name: str) -> None:
    """Raise :class:`UsageError` that names the formats where ``name`` is none of them."""
    check_name(name, FORMATS, "the suite is printed as")


def print_suite(suite: SuiteResult, name: str) -> None:
    """Print to standard output in the format ``name``."""
    print_bytes(FORMATS[name](suite))
