"""What client, server and machine used over time: CPU by thread, CPU and memory by process."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastbench.report import numbers, servers
from fastbench.report.html.elements import Html, element, join, table, without_empty
from fastbench.report.html.plots import Plot, Section
from fastbench.report.html.strip import Curve, Strip, level, strip_plot
from fastbench.verdict import BUSY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.report.html.elements import Cell
    from fastbench.results import (
        InterfaceUsage,
        ProcessSample,
        ProcessUsage,
        Repetition,
        Result,
    )

#: With more threads than this the busiest, the median and the least busy are drawn.
MAX_THREADS: Final = 6
THREAD_INTERVAL_S: Final = 0.2
MAX_POINTS: Final = 300  # of a repetition; neighbours are averaged beyond it

CPU = "CPU, % of a core"


def usage_section(result: Result) -> Section:
    """Return threads, processes, host and GPUs of all repetitions."""
    repetitions = result.repetitions
    plots = (_threads(repetitions), _cpu(repetitions), _memory(repetitions))
    tables = (
        _thread_table(repetitions),
        _server_table(result),
        _host(repetitions),
        _gpus(repetitions),
    )
    content = join(tables)
    return Section(
        "usage", "Client and server", content, tuple(plot for plot in plots if plot is not None)
    )


def _threads(repetitions: Sequence[Repetition]) -> Plot | None:
    series = [[t.cpu_percent_samples for t in r.client.threads] for r in repetitions]
    if not any(samples for repetition in series for samples in repetition):
        return None
    lengths = [max((len(s) for s in samples), default=0) for samples in series]
    group = max(1, math.ceil(max(lengths) / MAX_POINTS))
    instants = [
        [THREAD_INTERVAL_S * (k + 1) for k in range(0, length, group)] for length in lengths
    ]
    parts = [
        [_averaged(s, group, len(at)) for s in ss] for ss, at in zip(series, instants, strict=True)
    ]
    plot = strip_plot(
        _plain_strip(repetitions, instants),
        _thread_curves(repetitions, parts),
        CPU,
        name="threads",
        title="CPU of the client's threads",
        reading=f"A thread above the dashed line ({BUSY:.0%} of a core) may have delayed the "
        "replies that it timed; warm-up and drain are included.",
        doubt="a single sample: the kernel counts in ticks, 5 percentage points each.",
    )
    shape, note = level(100 * BUSY, f"{BUSY:.0%}")
    layout = dict(plot.layout)
    layout["shapes"] = [*layout["shapes"], shape]
    layout["annotations"] = [*layout["annotations"], note]
    layout["yaxis"] = layout["yaxis"] | {"range": [0, max(105.0, 1.1 * _highest(parts))]}
    return replace(plot, layout=layout)


def _averaged(samples: Sequence[float], group: int, length: int) -> list[float | None]:
    """Return means of ``group`` neighbours, filled up with None to ``length``."""
    means: list[float | None] = [
        round(statistics.fmean(samples[k : k + group]), 1) for k in range(0, len(samples), group)
    ]
    return means + [None] * (length - len(means))


def _thread_curves(
    repetitions: Sequence[Repetition], parts: Sequence[Sequence[Sequence[float | None]]]
) -> list[Curve]:
    """Return a curve for each thread, or for the busiest, the median and the least busy."""
    names = max(([t.name for t in r.client.threads] for r in repetitions), key=len)
    if len(names) > MAX_THREADS:
        several: dict[str, Callable[[Sequence[float]], float]] = {
            "busiest thread": max,
            "median thread": statistics.median,
            "least busy thread": min,
        }
        return [Curve(name, [_across(part, of) for part in parts]) for name, of in several.items()]
    lengths = [max((len(s) for s in part), default=0) for part in parts]
    return [
        Curve(
            name,
            [
                part[k] if k < len(part) else [None] * length
                for part, length in zip(parts, lengths, strict=True)
            ],
        )
        for k, name in enumerate(names)
    ]


def _across(
    part: Sequence[Sequence[float | None]], of: Callable[[Sequence[float]], float]
) -> list[float | None]:
    """Return ``of`` the threads' values at each instant."""
    instants = ([v for v in values if v is not None] for values in zip(*part, strict=True))
    return [of(values) if values else None for values in instants]


def _highest(parts: Sequence[Sequence[Sequence[float | None]]]) -> float:
    return max((v for part in parts for s in part for v in s if v is not None), default=0.0)


def _cpu(repetitions: Sequence[Repetition]) -> Plot | None:
    return _processes(
        repetitions,
        lambda sample: sample.cpu_percent,
        CPU,
        name="process-cpu",
        title="CPU of client and server",
        reading="CPU time of the whole process, 100 = one core, from connecting to the end of the "
        "drain; a server only where it runs on this machine.",
        doubt="client and server share cores: then each takes from the other.",
    )


def _memory(repetitions: Sequence[Repetition]) -> Plot | None:
    return _processes(
        repetitions,
        lambda sample: sample.rss_bytes / 2**20,
        "MiB",
        name="process-memory",
        title="Resident memory of client and server",
        reading="Resident memory (RSS) of the process; the client's contains the pages of the "
        "dataset that it has sent.",
        doubt="it rises all the time: something leaks, and a longer run would look different.",
    )


def _processes(
    repetitions: Sequence[Repetition],
    value: Callable[[ProcessSample], float],
    y_title: str,
    *,
    name: str,
    title: str,
    reading: str,
    doubt: str,
) -> Plot | None:
    """Return client and servers in one plot; None where there is no sample of any."""
    usages = {"client": [r.client.process for r in repetitions]}
    for url, each in servers.by_url(repetitions).items():
        usages[f"server {url}".rstrip()] = [s.process if s else None for s in each]
    series = {who: [_thinned(u, value) for u in us] for who, us in usages.items()}
    instants = [
        sorted(set().union(*(samples[i] for samples in series.values())))
        for i in range(len(repetitions))
    ]
    if not any(instants):
        return None
    curves = [
        Curve(who, [[s.get(t) for t in at] for s, at in zip(samples, instants, strict=True)])
        for who, samples in series.items()
    ]
    strip = _plain_strip(repetitions, instants)
    return strip_plot(strip, curves, y_title, name=name, title=title, reading=reading, doubt=doubt)


def _thinned(
    usage: ProcessUsage | None, value: Callable[[ProcessSample], float]
) -> dict[float, float]:
    """Return the value by instant; neighbours of a long series are averaged."""
    samples = usage.samples if usage else []
    group = max(1, math.ceil(len(samples) / MAX_POINTS))
    parts = (samples[k : k + group] for k in range(0, len(samples), group))
    return {part[-1].at_s: round(statistics.fmean(map(value, part)), 2) for part in parts}


def _plain_strip(repetitions: Sequence[Repetition], instants: Sequence[Sequence[float]]) -> Strip:
    lengths_s = [at[-1] if at else 0.0 for at in instants]
    names = [f"rep {r.index}" for r in repetitions]
    return Strip(names=names, instants=instants, lengths_s=lengths_s, measured_s=lengths_s)


def _thread_table(repetitions: Sequence[Repetition]) -> Html:
    columns = (
        *("thread", "CPU", "busy", "user, s", "system, s", "waited for a CPU, s", "idle spin, s"),
        *("switches taken from it", "stalls", "longest turn, ms", "major faults"),
    )
    rows: list[list[Cell]] = [
        [
            f"{t.name}, rep {r.index}",
            "any" if t.cpu is None else t.cpu,
            f"{t.busy:.1%}",
            *(round(v, 3) for v in (t.user_s, t.system_s)),
            _seconds(t.run_delay_s),
            round(t.spin_s, 3),
            *(t.involuntary_switches, t.stalls, round(t.longest_turn_ms, 3), t.major_faults),
        ]
        for r in repetitions
        for t in r.client.threads
    ]
    if not rows:
        return Html()
    summary = element("summary", "Table: threads of the client during measure")
    whole = table(*without_empty(columns, rows), class_="numbers")
    return element("details", summary, whole)


def _server_table(result: Result) -> Html:
    """Return the figures of each of several servers."""
    rows: list[list[Cell]] = [
        [
            url,
            *(
                None if v is None else f.form(v)
                for f, v in zip(servers.FIGURES, values, strict=True)
            ),
        ]
        for url, values in servers.medians(result)
    ]
    if not rows:
        return Html()
    columns = ("server, medians", *(figure.label for figure in servers.FIGURES))
    return table(*without_empty(columns, rows), class_="numbers")


def _host(repetitions: Sequence[Repetition]) -> Html:
    hosts = [(f"rep {r.index}", r.client.host) for r in repetitions if r.client.host]
    rows: list[list[Cell]] = [
        [
            name,
            numbers.tenths(host.cpu_percent_mean),
            numbers.tenths(host.steal_percent_mean),
            numbers.tenths(host.available_min_bytes / 2**30),
            None if host.cpu_mhz_mean is None else f"{host.cpu_mhz_mean:,.0f}",
            _seconds(host.quota_throttled_s),
            host.tcp_retransmits,
            host.thermal_throttles,
            *_interface_cells(host.interfaces),
        ]
        for name, host in hosts
    ]
    if not rows:
        return Html()
    columns = (
        *("client's machine", "CPU, % of all", "stolen, %", "least memory free, GiB"),
        *("clock, MHz", "stopped by CPU quota, s"),
        *("TCP retransmits", "slowed for heat", "network sent", "network received"),
    )
    return table(*without_empty(columns, rows), class_="numbers")


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _interface_cells(interfaces: Sequence[InterfaceUsage]) -> list[Cell]:
    """Return the rates of all interfaces together, loopback too."""
    if not interfaces:
        return [None, None]
    sent = sum(i.sent_bytes_per_s for i in interfaces)
    received = sum(i.received_bytes_per_s for i in interfaces)
    return [f"{rate / 1e6:,.1f} MB/s" for rate in (sent, received)]


def _gpus(repetitions: Sequence[Repetition]) -> Html:
    rows: list[list[Cell]] = [
        [
            f"{gpu.index}: {gpu.name}, rep {r.index}",
            numbers.tenths(gpu.utilisation_percent_mean),
            numbers.tenths(gpu.utilisation_percent_max),
            _gib(gpu.memory_used_max_bytes),
            numbers.tenths(gpu.power_watts_mean),
            numbers.tenths(gpu.power_watts_max),
        ]
        for r in repetitions
        for gpu in r.gpus
    ]
    if not rows:
        return Html()
    columns = ("GPU", "used, %", "most, %", "memory, GiB", "power, W", "most, W")
    return table(columns, rows, class_="numbers")


def _gib(value_bytes: int | None) -> str:
    return numbers.tenths(None if value_bytes is None else value_bytes / 2**30)
