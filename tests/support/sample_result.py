"""Results for tests, made from samples with a known distribution."""

from __future__ import annotations

import msgspec
import numpy as np

from fastbench import latency
from fastbench.results import (
    ClientUsage,
    Counts,
    DatasetInfo,
    ErrorClass,
    HostUsage,
    Interval,
    Latency,
    ProcessUsage,
    Repetition,
    Result,
    TargetInfo,
    ThreadUsage,
    Verification,
)
from fastbench.summary import summarize

INTERVALS = 4


def samples_ns(seed: int, size: int = 4000, median_ms: float = 3.0) -> np.ndarray:
    """Return ``size`` log-normal response times in nanoseconds; int64."""
    generator = np.random.default_rng(seed)
    return (generator.lognormal(0, 0.4, size) * median_ms * 1e6).astype(np.int64)


def counters(values_ns: np.ndarray) -> np.ndarray:
    """Return the counters of ``values_ns``, found by search and not by HdrHistogram's formula."""
    index = np.searchsorted(latency.lowest_ns(), values_ns, side="right") - 1
    return np.bincount(index, minlength=latency.COUNTERS).astype(np.int64)


def latency_of(values_ns: np.ndarray, *, censored: int = 0, beyond_ns: int = 0) -> Latency:
    """Return the distribution of ``values_ns`` and ``censored`` more."""
    return latency.latency_from_counts(
        counters(values_ns),
        total=values_ns.size,
        clipped=0,
        min_ns=int(values_ns.min(initial=2**62)),
        max_ns=int(values_ns.max(initial=0)),
        sum_ns=float(values_ns.sum()),
        censored=censored,
        beyond_ns=beyond_ns or None,
    )


def interval(number: int, values_ns: np.ndarray) -> Interval:
    """Return interval ``number`` (from 0), 1 s long."""
    response = latency_of(values_ns)
    return Interval(
        start_s=float(number),
        end_s=number + 1.0,
        ok=values_ns.size,
        errors=0,
        timeouts=0,
        lost=0,
        inferences_per_s=float(values_ns.size),
        response_p50_ms=response.p50,
        response_p95_ms=response.p95,
        response_p99_ms=response.p99,
        response_max_ms=response.max,
        histogram=response.histogram,
    )


def client(busy: float = 0.31) -> ClientUsage:
    """Return a client with one pinned thread."""
    thread = ThreadUsage(
        name="fb-w0",
        cpu=0,
        user_s=0.12,
        system_s=1.1,
        elapsed_s=4.0,
        busy=busy,
        voluntary_switches=4000,
        involuntary_switches=7,
        major_faults=0,
    )
    return ClientUsage(
        cpu_us_per_inference=305.2,
        user_us_per_inference=30.1,
        system_us_per_inference=275.1,
        threads=[thread],
        process=ProcessUsage(
            pid=1,
            cpu_percent_mean=31.0,
            cpu_percent_max=40.0,
            rss_max_bytes=90 * 2**20,
            threads_max=4,
        ),
        host=HostUsage(
            cpu_percent_mean=83.1,
            cpu_percent_max=99.0,
            steal_percent_mean=0.0,
            available_min_bytes=2**33,
        ),
        bytes_sent=4000 * 602_112,
        bytes_received=4000 * 4100,
    )


def repetition(number: int, *, timeouts: int = 0, errors: int = 0) -> Repetition:
    """Return repetition ``number`` (from 1) of 4 s with 4,000 successes."""
    values = samples_ns(number)
    done = values.size + timeouts + errors
    text = "ERR model key is empty \x1b[31m"
    classes = {"ERR": ErrorClass(count=errors, first_text=text)} if errors else {}
    response = latency_of(values, censored=timeouts, beyond_ns=30_000_000_000)
    return Repetition(
        index=number,
        started_at=f"2026-01-02T03:04:{10 * number:02d}.250+00:00",
        measured_s=4.0,
        status="complete",
        counts=Counts(
            intended=done,
            sent=done,
            ok=values.size,
            errors=errors,
            timeouts=timeouts,
            errors_by_class=classes,
        ),
        inferences_per_s=values.size / 4 + number,
        samples_per_s=values.size / 4 + number,
        response_ms=response,
        service_ms=response,
        timeseries=[interval(i, part) for i, part in enumerate(np.split(values, INTERVALS))],
        client=client(),
        verification=Verification(
            requested=8, checked=8, mismatches=0, max_abs_difference=1.2e-7, tolerance=1e-4
        ),
    )


def result(*repetitions: Repetition, status: str = "complete") -> Result:
    """Return a run of ``repetitions``; three fair ones where none is given."""
    reps = list(repetitions) or [repetition(n) for n in (1, 2, 3)]
    return Result(
        schema_version=1,
        fastbench_version="0.1.0",
        status=status,
        started_at="2026-01-02T03:04:05.000+00:00",
        ended_at="2026-01-02T03:05:05.000+00:00",
        config={
            "workload": "vision",
            "threads": 1,
            "connections": None,
            "pipeline": 4,
            "batch": 1,
            "repetitions": len(reps),
            "form": "pipeline",
            "dialect": "modern",
            "warmup_s": 1.0,
            "timeout_s": 30.0,
        },
        platform={
            "cpu_model": "Example CPU 9000",
            "cpus_logical": 2,
            "cpus_allowed": [0, 1],
            "memory_bytes": 8 * 2**30,
            "distribution": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "6.1.0",
        },
        target=TargetInfo(
            url="redisai://192.0.2.7:6379",
            kind="redisai",
            server="redisai 1.2.7",
            protocol="RESP2",
            model="mobilenet_v1_100_224",
            backend="ONNX",
            device="CPU",
            check_max_abs_difference=1.2e-7,
        ),
        dataset=DatasetInfo(
            path="/data/vision",
            rows=5000,
            shape=[224, 224, 3],
            dtype="float32",
            synthetic=False,
        ),
        repetitions=reps,
        summary=summarize(reps),
    )


def run_with(values: list[float], **fields: object) -> Result:
    """Return a run whose repetitions have these p99 in ms and rates, and nothing else to vary."""
    base = repetition(1)
    reps = [
        msgspec.structs.replace(
            base,
            index=n + 1,
            timeseries=[],
            inferences_per_s=value,
            response_ms=msgspec.structs.replace(base.response_ms, p99=value, **fields),
        )
        for n, value in enumerate(values)
    ]
    return result(*reps)
