"""The result in Prometheus' text exposition format 0.0.4, for a textfile collector or a push.

Base units (seconds, bytes, ratios). Samples carry ``repetition`` (from 1); medians over the
repetitions, and streams, are families of their own, so that a sum never counts twice. A quantile
that is only a lower bound is left out: what is absent cannot be taken for a value.
Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastbench.report.csvfile import OUTCOMES
from fastbench.report.facts import workload_of
from fastbench.report.servers import servers_of
from fastbench.results import QUANTILES, Latency, LatencySummary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastbench.results import Repetition, Result, StreamResult


RATES = {
    "inferences_per_second": ("inferences_per_s", "Successes received during measure, per second."),
    "samples_per_second": ("samples_per_s", "The same in samples: times the batch size."),
    "offered_per_second": ("offered_per_s", "Open loop: inferences due per second."),
    "target_per_second": ("target_per_s", "Open loop: the rate asked for."),
}
LATENCIES = {
    "response_time_seconds": ("response_ms", "Received minus intended, of successes."),
    "service_time_seconds": ("service_ms", "Received minus sent, of successes."),
    "send_lag_seconds": ("send_lag_ms", "Open loop: sent minus intended."),
}


@dataclass(slots=True)
class Family:
    """A metric: its samples are (suffix of the name, labels, value)."""

    name: str
    kind: str
    about: str
    samples: list[tuple[str, dict[str, object], float]] = field(default_factory=list)

    def add(self, value: float | None, labels: dict[str, object], suffix: str = "") -> None:
        """Add a sample, if there is a value."""
        if value is not None:
            self.samples.append((suffix, labels, value))


def render(result: Result) -> bytes:
    """Return the exposition of ``result``, UTF-8; families without a sample are left out."""
    families = [family for family in _families(result) if family.samples]
    return "".join(_text(family) for family in families).encode()


def _families(result: Result) -> Iterator[Family]:
    yield from _about(result)
    repetitions = result.repetitions
    yield from _measured("", [({"repetition": r.index}, r) for r in repetitions])
    streams = [(r, stream) for r in repetitions for stream in r.streams]
    labelled = [({"stream": s.name, "repetition": r.index}, s) for r, s in streams]
    yield from _measured("stream_", labelled)
    yield from _errors(repetitions)
    yield from _costs(repetitions)
    yield from _processes(result)
    yield from _medians(result)


def _about(result: Result) -> Iterator[Family]:
    info = Family("info", "gauge", "What was run; always 1.")
    info.add(
        1,
        {
            "version": result.fastbench_version,
            "workload": workload_of(result),
            "target": result.target.url,
            "model": result.target.model,
            "status": result.status,
        },
    )
    started = Family("start_time_seconds", "gauge", "When the run began, in Unix time.")
    started.add(dt.datetime.fromisoformat(result.started_at).timestamp(), {})
    verdict = Family("verdict", "gauge", "Whether the client was the bottleneck; always 1.")
    verdict.add(1, {"verdict": result.verdict.verdict if result.verdict else "not judged"})
    warnings = Family("warnings", "gauge", "Doubts about the result by their code.")
    codes = [warning.code for warning in result.warnings]
    for code in dict.fromkeys(codes):
        warnings.add(codes.count(code), {"code": code})
    yield from (info, started, verdict, warnings)


def _measured(
    prefix: str, parts: Sequence[tuple[dict[str, object], Repetition | StreamResult]]
) -> Iterator[Family]:
    for name, (source, about) in RATES.items():
        family = Family(prefix + name, "gauge", about)
        for labels, part in parts:
            family.add(getattr(part, source), labels)
        yield family
    counts = Family(f"{prefix}inferences_total", "counter", "Inferences intended, by outcome.")
    for labels, part in parts:
        # Intended and sent are sums of the others.
        for outcome in (name for name in OUTCOMES if name not in {"intended", "sent"}):
            counts.add(getattr(part.counts, outcome), {**labels, "outcome": outcome})
    yield counts
    for name, (source, about) in LATENCIES.items():
        family = Family(prefix + name, "summary", about)
        for labels, part in parts:
            _add_latency(family, getattr(part, source), labels)
        yield family


def _add_latency(family: Family, latency: Latency | None, labels: dict[str, object]) -> None:
    if latency is not None:
        _add_quantiles(family, latency, labels)
        total_ms = (latency.mean or 0.0) * latency.count
        family.add(total_ms / 1e3, labels, "_sum")
        family.add(latency.count, labels, "_count")


def _add_quantiles(
    family: Family, latency: Latency | LatencySummary, labels: dict[str, object]
) -> None:
    for name, q in QUANTILES.items():
        value_ms = getattr(latency, name)
        if value_ms is not None and name not in latency.beyond:
            family.add(value_ms / 1e3, {**labels, "quantile": q})


def _errors(repetitions: Sequence[Repetition]) -> Iterator[Family]:
    errors = Family("errors_total", "counter", "Error replies by class.")
    for r in repetitions:
        for name, error in r.counts.errors_by_class.items():
            errors.add(error.count, {"repetition": r.index, "class": name})
    yield errors


def _costs(repetitions: Sequence[Repetition]) -> Iterator[Family]:
    cpu = Family(
        "client_cpu_seconds_per_inference", "gauge", "Worker threads' CPU time per reply, by mode."
    )
    busy = Family("client_thread_busy_ratio", "gauge", "Worker threads: CPU time per elapsed time.")
    moved = Family("client_bytes_total", "counter", "By all connections in all phases.")
    for r in repetitions:
        client = r.client
        for mode in ("user", "system"):
            us = getattr(client, f"{mode}_us_per_inference")
            cpu.add(None if us is None else us / 1e6, {"repetition": r.index, "mode": mode})
        for thread in client.threads:
            busy.add(thread.busy, {"repetition": r.index, "thread": thread.name})
        for direction in ("sent", "received"):
            labels: dict[str, object] = {"repetition": r.index, "direction": direction}
            moved.add(getattr(client, f"bytes_{direction}"), labels)
    yield from (cpu, busy, moved)


def _processes(result: Result) -> Iterator[Family]:
    cpu = Family("process_cpu_ratio", "gauge", "Mean CPU use; 1 = one core.")
    rss = Family("process_resident_memory_max_bytes", "gauge", "Largest resident memory.")
    for r in result.repetitions:
        servers = [(server.url or result.target.url, server.process) for server in servers_of(r)]
        for url, process in (("", r.client.process), *servers):
            if process is not None:
                labels: dict[str, object] = {"repetition": r.index}
                labels |= {"process": "server", "target": url} if url else {"process": "client"}
                cpu.add(process.cpu_percent_mean / 100, labels)
                rss.add(process.rss_max_bytes, labels)
    yield from (cpu, rss)


def _medians(result: Result) -> Iterator[Family]:
    summary = result.summary
    if summary is None:
        return
    rate = Family("median_inferences_per_second", "gauge", "Median over the repetitions.")
    rate.add(summary.inferences_per_s, {})
    yield rate
    for name, latency in (("response", summary.response_ms), ("service", summary.service_ms)):
        family = Family(f"median_{name}_time_seconds", "gauge", "Medians over the repetitions.")
        _add_quantiles(family, latency, {})
        yield family


def _text(family: Family) -> str:
    name = f"fastbench_{family.name}"
    head = f"# HELP {name} {family.about}\n# TYPE {name} {family.kind}\n"
    return head + "".join(
        f"{name}{suffix}{_labels(labels)} {value!r}\n" for suffix, labels, value in family.samples
    )


def _labels(labels: dict[str, object]) -> str:
    pairs = ",".join(f'{name}="{_escape(str(value))}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
