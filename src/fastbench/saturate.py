"""The client-saturation test: how much load this client can make, whatever the server.

It drives the null server, in this process but on CPUs of its own where there are any: a closed
loop of each load for the ceiling, then open loops at growing shares of the rate that was reached.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastbench import platform_info
from fastbench._nullserver import NullServer
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import FastbenchError, UsageError
from fastbench.repetition import now_utc
from fastbench.runner import run
from fastbench.saturations import SATURATION_SCHEMA_VERSION, Ceiling, Saturation, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastbench.results import Repetition, Result

TENSOR_BYTES: Final = 602_112  # a 224 x 224 x 3 float32 image
SHARES: Final = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1)
WARMUP_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent; ``connections`` for each thread."""

    name: str
    command: tuple[str, ...]
    connections: int
    pipeline: int
    request_bytes: int


_SMALL: Final = ("AI.MODELEXECUTE", "m", "INPUTS", "1", "a", "OUTPUTS", "1", "b")
_TENSOR: Final = ("AI.TENSORSET", "a", "FLOAT", "1", "224", "224", "3", "BLOB", "{data}")

LOADS: Final = (
    *(Load(f"small, pipeline {depth}", _SMALL, 50, depth, 86) for depth in (1, 16, 64)),
    *(Load(f"tensor, pipeline {depth}", _TENSOR, 4, depth, TENSOR_BYTES) for depth in (1, 4)),
)

#: Which of them are also offered on a schedule.
STEPPED: Final = ("small, pipeline 16", "tensor, pipeline 4")


def saturate(
    threads: Sequence[int] = (),
    *,
    duration_s: float = 2.0,
    unix: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Saturation:
    """Return ceilings and steps for each number of ``threads``; () = 1, 2, 4 … all but one CPU.

    ``say``: told what is being measured. Raises :class:`UsageError` for more threads than CPUs.
    """
    counts = tuple(threads) or _doubling(max(1, len(platform_info.allowed_cpus()) - 1))
    _check(counts)
    started_at = now_utc()
    ceilings, steps = list[Ceiling](), list[Step]()
    for count in counts:
        for load in LOADS:
            say(f"{load.name}, threads {count}: closed loop")
            ceilings.append(_ceiling(load, count, duration_s, unix=unix))
            if load.name in STEPPED:
                steps += _steps(load, ceilings[-1], duration_s, unix=unix, say=say)
    return Saturation(
        schema_version=SATURATION_SCHEMA_VERSION,
        fastbench_version=version("fastbench"),
        started_at=started_at,
        socket="unix" if unix else "tcp",
        duration_s=duration_s,
        platform=platform_info.describe(),
        ceilings=ceilings,
        steps=steps,
    )


def _doubling(highest: int) -> tuple[int, ...]:
    counts = [1]
    while counts[-1] * 2 <= highest:
        counts.append(counts[-1] * 2)
    return tuple(counts) if counts[-1] == highest else (*counts, highest)


def _check(counts: tuple[int, ...]) -> None:
    cpus = len(platform_info.allowed_cpus())
    for count in counts:
        if not 1 <= count <= cpus:
            msg = f"--threads {count}: must be from 1 to {cpus}, the CPUs of this process"
            raise UsageError(msg)


@contextlib.contextmanager
def _null_server(threads: int, *, unix: bool) -> Iterator[tuple[NullServer, str]]:
    """Run a null server beside ``threads`` client threads; yields it and its URL."""
    spare = platform_info.allowed_cpus()[threads:]
    count = max(1, len(spare))
    with tempfile.TemporaryDirectory(prefix="fastbench-saturate-") as folder:
        path = str(Path(folder, "socket")) if unix else None
        with NullServer("127.0.0.1", 0, path, count, tuple(spare)) as server:
            yield server, f"redis+unix://{path}" if path else f"redis://127.0.0.1:{server.port}"


def _config(load: Load, threads: int, duration_s: float, url: str) -> RunConfig:
    return RunConfig(
        target=url,
        workload="command",
        command=CommandConfig(commands=(load.command,), data_size=str(load.request_bytes)),
        threads=threads,
        connections=load.connections * threads,
        pipeline=load.pipeline,
        duration_s=duration_s,
        warmup_s=WARMUP_S,
        repetitions=1,
        calibrate="never",
        cpus=tuple(platform_info.allowed_cpus()[:threads]),
    )


def _ceiling(load: Load, threads: int, duration_s: float, *, unix: bool) -> Ceiling:
    with _null_server(threads, unix=unix) as (server, url):
        config = _config(load, threads, duration_s, url)
        r = _repetition(run(config))
        served_s = max(cpu_s for cpu_s, _, _ in server.stats())
    cpu_us = r.client.cpu_us_per_inference
    if not cpu_us:
        msg = f"{load.name}: nothing was answered within {duration_s:g} s; use a longer --duration"
        raise FastbenchError(msg)
    return Ceiling(
        load=load.name,
        threads=threads,
        connections=config.total_connections,
        pipeline=load.pipeline,
        request_bytes=load.request_bytes,
        cpu_us_per_inference=cpu_us,
        ceiling_per_s=threads * 1e6 / cpu_us,
        reached_per_s=r.inferences_per_s,
        client_busy=_busiest(r),
        server_busy=min(1.0, served_s / (WARMUP_S + r.measured_s)),
        p50_ms=r.response_ms.p50,
        p99_ms=r.response_ms.p99,
    )


def _steps(
    load: Load,
    ceiling: Ceiling,
    duration_s: float,
    *,
    unix: bool,
    say: Callable[[str], None],
) -> Iterator[Step]:
    """Yield an open loop for each share of the rate that the closed loop reached."""
    for share in SHARES:
        rate = share * ceiling.reached_per_s
        say(f"{load.name}, threads {ceiling.threads}: {rate:,.0f}/s")
        with _null_server(ceiling.threads, unix=unix) as (_, url):
            config = _config(load, ceiling.threads, duration_s, url)
            result = run(replace(config, rate_per_s=rate, timeout_s=5.0))
        yield _step(load, ceiling.threads, share, rate, result)


def _step(load: Load, threads: int, share: float, rate: float, result: Result) -> Step:
    r = _repetition(result)
    return Step(
        load=load.name,
        threads=threads,
        share=share,
        offered_per_s=rate,
        achieved_per_s=r.inferences_per_s,
        send_lag_p50_ms=r.send_lag_ms.p50 if r.send_lag_ms else None,
        send_lag_p99_ms=r.send_lag_ms.p99 if r.send_lag_ms else None,
        client_busy=_busiest(r),
        verdict=result.verdict.verdict if result.verdict else "",
    )


def _repetition(result: Result) -> Repetition:
    """Return the whole repetition; one that was cut short says nothing of the client."""
    if result.status == "interrupted":
        raise KeyboardInterrupt
    if result.status != "complete":
        raise FastbenchError(result.error)
    return result.repetitions[0]


def _busiest(r: Repetition) -> float:
    shares = (t.busy + (t.run_delay_s or 0.0) / t.elapsed_s for t in r.client.threads)
    return min(1.0, max(shares))
