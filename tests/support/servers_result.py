"""A result of a run that went to several servers, one of them here, and one that tells nothing."""

from __future__ import annotations

import msgspec
from support.sample_result import repetition, result

from fastbench.results import (
    ProcessSample,
    ProcessUsage,
    Result,
    ServerMetrics,
    ServerSample,
    ServerUsage,
)

HERE, ELSEWHERE, SILENT = "redis://127.0.0.1:1", "redisai://lab:2", "rest://lab:3/m"


def process_of(pid: int, cpu_percent: float) -> ProcessUsage:
    """Return a process that took so much CPU, in two samples."""
    return ProcessUsage(
        pid=pid,
        cpu_percent_mean=cpu_percent,
        cpu_percent_max=cpu_percent,
        rss_max_bytes=pid * 2**20,
        threads_max=1,
        samples=[
            ProcessSample(at_s=at, cpu_percent=cpu_percent, rss_bytes=pid * 2**20)
            for at in (0.2, 0.4)
        ],
    )


def told(calls: int, unavailable: str = "") -> ServerMetrics:
    """Return what a server said in 2 s: so many commands and calls of a model, 3 ms each."""
    deltas = {
        "total_commands_processed": 10.0 * calls,
        "used_cpu_user": 0.5,
        "used_cpu_sys": 0.25,
        "model_calls": float(calls),
        "model_duration_us": 3000.0 * calls,
    }
    samples = [ServerSample(at_s=0.0, values={"used_memory": 7.0})]
    samples += [ServerSample(at_s=2.0, values={"used_memory": 8.0, "model_calls": float(calls)})]
    return ServerMetrics(deltas=deltas, samples=samples, unavailable=unavailable)


def servers_of(number: int) -> list[ServerUsage]:
    """Return the servers of repetition ``number``."""
    return [
        ServerUsage(url=HERE, process=process_of(40, 20.0 * number), metrics=told(100 * number)),
        ServerUsage(url=ELSEWHERE, metrics=told(300, "AI.INFO: no")),
        ServerUsage(url=SILENT),
    ]


def with_servers(count: int = 2) -> Result:
    """Return a run of so many repetitions with three servers."""
    return result(
        *(
            msgspec.structs.replace(repetition(n), servers=servers_of(n))
            for n in range(1, count + 1)
        )
    )
