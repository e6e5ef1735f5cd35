"""The result as CSV: a row per repetition, then median, min, max and total; a stable header.

Cells are empty where there is no value. With several streams, the rows of all together (an empty
``stream``) are followed by those of each stream. Exact numbers, units in the names. The verdict
on the client is the same in all rows; what the server used is the sum of all local servers.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from fastbench.report.servers import servers_of
from fastbench.results import Counts, Latency
from fastbench.summary import STATISTICS, total_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.results import (
        ClientUsage,
        LatencySummary,
        Repetition,
        Result,
        Spread,
        StreamResult,
        StreamSummary,
        Summary,
    )

OUTCOMES = tuple(name for name in Counts.__struct_fields__ if name != "errors_by_class")
RATES = ("inferences_per_s", "samples_per_s", "offered_per_s", "target_per_s")
LATENCIES = ("response", "service", "send_lag")
COSTS = ("cpu_us_per_inference", "user_us_per_inference", "system_us_per_inference")
USAGE = (
    *("busiest_thread_percent", "client_cpu_percent_mean", "client_rss_max_bytes"),
    *("server_cpu_percent_mean", "server_rss_max_bytes", "host_cpu_percent_mean"),
)
HEADER = (
    *("row", "stream", "repetition", "started_at", "status", "measured_s"),
    *RATES,
    *OUTCOMES,
    *(
        f"{kind}_{name}"
        for kind in LATENCIES
        for name in (*(f"{s}_ms" for s in STATISTICS), "lower_bounds", "few_samples")
    ),
    *COSTS,
    *USAGE,
    "verdict",
)


def render(result: Result) -> bytes:
    """Return the rows of ``result``; see the module for what they are."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    verdict = result.verdict.verdict if result.verdict else ""
    writer.writerows({**row, "verdict": verdict} for row in _rows(result))
    return text.getvalue().encode()


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    repetitions = result.repetitions
    yield from ({**_repetition(r), **_cost(r)} for r in repetitions)
    yield from _summaries(result.summary, repetitions)
    for stream in result.summary.streams if result.summary else []:
        parts = [(r, s) for r in repetitions for s in r.streams if s.name == stream.name]
        for whole, part in parts:
            yield {**_repetition(whole), **_figures(part), "stream": stream.name}
        for row in _summaries(stream, [part for _, part in parts]):
            yield {**row, "stream": stream.name}


def _repetition(r: Repetition) -> dict[str, Any]:
    about = {name: getattr(r, name) for name in ("started_at", "status", "measured_s")}
    return {"row": "repetition", "repetition": r.index, **about, **_figures(r)}


def _figures(r: Repetition | StreamResult) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(r, name) for name in RATES}
    row |= _counts(r.counts)
    for kind in LATENCIES:
        row |= _latency(kind, getattr(r, f"{kind}_ms"))
    return row


def _counts(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in OUTCOMES}


def _latency(kind: str, latency: Latency | LatencySummary | None) -> dict[str, Any]:
    if latency is None:
        return {}
    row = {f"{kind}_{name}_ms": getattr(latency, name) for name in STATISTICS}
    row[f"{kind}_lower_bounds"] = " ".join(latency.beyond)
    row[f"{kind}_few_samples"] = " ".join(latency.few_samples)
    return row


def _cost(r: Repetition) -> dict[str, Any]:
    client, host = r.client, r.client.host
    row: dict[str, Any] = {name: getattr(client, name) for name in COSTS}
    row["busiest_thread_percent"] = _busiest_percent(client)
    row["host_cpu_percent_mean"] = host.cpu_percent_mean if host else None
    servers = [server.process for server in servers_of(r)]
    for name, processes in (("client", [client.process]), ("server", servers)):
        known = [process for process in processes if process is not None]
        if known:
            row[f"{name}_cpu_percent_mean"] = sum(p.cpu_percent_mean for p in known)
            row[f"{name}_rss_max_bytes"] = sum(p.rss_max_bytes for p in known)
    return row


def _busiest_percent(client: ClientUsage) -> float | None:
    return max((100 * t.busy for t in client.threads), default=None)


def _summaries(
    summary: Summary | StreamSummary | None, parts: Sequence[Repetition | StreamResult]
) -> Iterator[dict[str, Any]]:
    """Return median, min, max and total; without a summary, for nothing succeeded, the total."""
    if summary is not None:
        yield {
            "row": "median",
            "inferences_per_s": summary.inferences_per_s,
            "samples_per_s": summary.samples_per_s,
            "cpu_us_per_inference": getattr(summary, "cpu_us_per_inference", None),
            **_latency("response", summary.response_ms),
            **_latency("service", summary.service_ms),
        }
        yield _end("min", summary)
        yield _end("max", summary)
    if parts:
        yield {"row": "total", **_counts(total_counts([p.counts for p in parts]))}


def _end(end: str, summary: Summary | StreamSummary) -> dict[str, Any]:
    """Return the smallest or largest values, as the summary's spreads have them."""
    row: dict[str, Any] = {"row": end}
    row["inferences_per_s"] = getattr(summary.inferences_per_s_spread, end)
    for kind in ("response", "service"):
        spread: dict[str, Spread] = getattr(summary, f"{kind}_ms").spread
        row |= {f"{kind}_{name}_ms": getattr(both, end) for name, both in spread.items()}
        bounds = [name for name, both in spread.items() if getattr(both, f"{end}_beyond")]
        row[f"{kind}_lower_bounds"] = " ".join(bounds)
    return row
