"""A result in which every part of the page has something to show, and one that means harm."""

from __future__ import annotations

from typing import Any

import msgspec
from support.streams_result import with_streams

from fastbench.results import (
    Calibration,
    ErrorClass,
    Evidence,
    GpuUsage,
    ProcessSample,
    ProcessUsage,
    Result,
    ServerMetrics,
    ServerSample,
    TargetInfo,
    ThreadUsage,
    Verdict,
    Warning,
)

#: Runs where a page takes it for markup: in a text, an attribute or a script.
EVIL = (
    "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=2>\x1b[31m\u2028'\"&"
)


def changed(data: Any, **fields: Any) -> Any:
    """Return a record with other values in it."""
    return msgspec.structs.replace(data, **fields)


def threads(count: int, samples: int = 5) -> list[ThreadUsage]:
    """Return threads whose n-th is n % busy in every sample."""
    return [
        ThreadUsage(
            name=f"fb-w{n}",
            cpu=None,
            user_s=0.1,
            system_s=0.2,
            elapsed_s=4.0,
            busy=n / 100,
            voluntary_switches=1,
            involuntary_switches=2,
            major_faults=0,
            cpu_percent_samples=[float(n)] * samples,
        )
        for n in range(count)
    ]


def full() -> Result:
    """Return a result in which every part of the page has something to show."""
    process = ProcessUsage(
        pid=1,
        cpu_percent_mean=50.0,
        cpu_percent_max=60.0,
        rss_max_bytes=2**20,
        threads_max=1,
        samples=[ProcessSample(at_s=0.2 * n, cpu_percent=50.0, rss_bytes=2**20) for n in (1, 2)],
    )
    gpu = GpuUsage(
        index=0,
        name="GPU 9000",
        utilisation_percent_mean=12.5,
        utilisation_percent_max=99.0,
        memory_used_max_bytes=2**30,
        power_watts_mean=None,
        power_watts_max=None,
    )
    metrics = ServerMetrics(
        deltas={"calls": 7.0},
        samples=[ServerSample(at_s=1.0, values={"calls": 7.0, "memory": 9.5})],
        unavailable="AI.INFO: no such model",
    )
    data = with_streams(
        Verdict(
            verdict="suspect",
            evidence=[
                Evidence(
                    name="headroom",
                    status="suspect",
                    figure="1.1 times",
                    threshold="at least 1.25 times",
                    advice="use more threads",
                )
            ],
        )
    )
    repetitions = [
        changed(
            r,
            server=process,
            gpus=[gpu],
            server_metrics=metrics,
            client=changed(r.client, threads=threads(2), process=process),
        )
        for r in data.repetitions
    ]
    calibration = Calibration(
        ceiling_per_s=5000.5,
        cpu_us_per_inference=200.0,
        raw_per_s=4000.25,
        raw_is_bound=True,
        server_busy=0.9,
        server="in process",
        measured_s=1.0,
    )
    return changed(data, repetitions=repetitions, calibration=calibration)


def hostile() -> Result:
    """Return a result with markup in every text that somebody else may have chosen."""
    data = full()
    first = data.repetitions[0]
    evil_metrics = ServerMetrics(
        deltas={EVIL: 1.0}, samples=[ServerSample(at_s=1.0, values={EVIL: 1.0})], unavailable=EVIL
    )
    stream = changed(first.streams[0], name=EVIL)
    counts = changed(first.counts, errors_by_class={EVIL: ErrorClass(count=1, first_text=EVIL)})
    assert data.summary is not None
    return changed(
        data,
        fastbench_version=EVIL,
        status=EVIL,
        error=EVIL,
        config={"workload": EVIL, EVIL: {EVIL: EVIL}, "batch": 1},
        platform={"cpu_model": EVIL, EVIL: [EVIL]},
        target=TargetInfo(url=EVIL, kind=EVIL, server=EVIL, model=EVIL, details={EVIL: EVIL}),
        warnings=[Warning(code=EVIL, message=EVIL, advice=EVIL)],
        verdict=Verdict(
            verdict=EVIL,
            evidence=[Evidence(name=EVIL, status=EVIL, figure=EVIL, threshold=EVIL, advice=EVIL)],
        ),
        summary=changed(data.summary, streams=[changed(data.summary.streams[0], name=EVIL)]),
        repetitions=[
            changed(
                first,
                counts=counts,
                server_metrics=evil_metrics,
                streams=[stream],
                client=changed(first.client, threads=[changed(threads(1)[0], name=EVIL)]),
            )
        ],
    )
