"""Execution: one queue per device, its worker threads, and batches gathered from the queue."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fastbench.serve.resp import CommandError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from fastbench.serve.backends import Device, Executable
    from fastbench.serve.tensors import Array

JOIN_TIMEOUT_S = 2.0


class TimedOutError(Exception):
    """The TIMEOUT of a request was over when a worker came to it."""


@dataclass(slots=True)
class Stats:
    """What AI.INFO replies: run time in the worker, rows of the first output, calls, errors."""

    duration_us: int = 0
    samples: int = 0
    calls: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A stored model; what AI.INFO counts about it is in ``stats``."""

    backend: str
    device: Device
    tag: bytes = b""
    batch_size: int = 0
    min_batch_size: int = 0
    min_batch_timeout_ms: int = 0
    blob: bytes
    executable: Executable
    stats: Stats = field(default_factory=Stats)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One execution. ``done`` belongs to the network loop; a worker never touches it itself."""

    model: Model
    inputs: Sequence[Array]
    deadline: float  # on time.monotonic(); inf = none
    queued: float
    done: asyncio.Future[list[Array]]

    @property
    def rows(self) -> int:
        """Size of the batch dimension that all inputs share, or 0 = cannot be batched."""
        rows = {array.shape[0] if array.ndim else 0 for array in self.inputs}
        return rows.pop() if len(rows) == 1 else 0

    def fits(self, other: Job) -> bool:
        """Tell whether two executions can be one batch."""
        mine = [(array.shape[1:], array.dtype) for array in self.inputs]
        theirs = [(array.shape[1:], array.dtype) for array in other.inputs]
        return self.model is other.model and mine == theirs and other.rows > 0


class DeviceQueue:
    """The queue of one device and the threads that work on it.

    Finished jobs are handed back through the loop's ``call_soon_threadsafe``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, device: str, threads: int) -> None:
        """Start ``threads`` worker threads."""
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._running: list[Executable] = []
        self._stopped = False
        self._changed = threading.Condition()
        self.workers = [
            threading.Thread(target=self._work, name=f"queue_{device}_bthread_n{n}", daemon=True)
            for n in range(1, threads + 1)
        ]
        for worker in self.workers:
            worker.start()

    def submit(self, model: Model, inputs: Sequence[Array], deadline: float) -> Job:
        """Queue one execution; its outputs or error come into ``Job.done``. Loop thread only."""
        job = Job(model, inputs, deadline, time.monotonic(), self._loop.create_future())
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return job

    def stop(self) -> bool:
        """End the workers and what they run; False when one did not end in time."""
        with self._changed:
            self._stopped = True
            for executable in self._running:
                executable.stop()
            self._changed.notify_all()
        for worker in self.workers:
            worker.join(JOIN_TIMEOUT_S)
        return not any(worker.is_alive() for worker in self.workers)

    def _work(self) -> None:
        while batch := self._next_batch():
            executable = batch[0].model.executable
            began = time.perf_counter()
            try:
                results: Sequence[list[Array] | Exception] = _run(batch)
            except Exception as e:  # noqa: BLE001  the client is told, the worker goes on
                results = [e] * len(batch)
            duration_us = round((time.perf_counter() - began) * 1e6)
            with self._changed:
                self._running.remove(executable)
                if self._stopped:
                    return
            self._loop.call_soon_threadsafe(_finish, batch, results, duration_us)

    def _next_batch(self) -> list[Job]:
        """Wait for jobs that may run now and take them; [] = the queue was stopped."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                self._drop_expired(now)
                wake = math.inf
                for job in self._jobs:
                    batch = self._gather(job)
                    due = _due(batch)
                    if due <= now:
                        self._take(batch)
                        return batch
                    wake = min(wake, due, *(member.deadline for member in batch))
                self._changed.wait(None if wake == math.inf else wake - now)
            return []

    def _take(self, batch: list[Job]) -> None:
        for job in batch:
            self._jobs.remove(job)
        self._running.append(batch[0].model.executable)

    def _drop_expired(self, now: float) -> None:
        expired = [job for job in self._jobs if job.deadline <= now]
        for job in expired:
            self._jobs.remove(job)
            self._loop.call_soon_threadsafe(_resolve, job.done, TimedOutError())

    def _gather(self, first: Job) -> list[Job]:
        """Return ``first`` and those queued behind it that make a batch with it."""
        wanted, rows = first.model.batch_size, first.rows
        batch = [first]
        if not wanted or not rows:
            return batch
        for job in self._jobs:
            if rows >= wanted:
                break
            if job is not first and job.fits(first):
                batch.append(job)
                rows += job.rows
        return batch


def _due(batch: list[Job]) -> float:
    """Return when a batch may run: at once if big enough, else after MINBATCHTIMEOUT."""
    first = batch[0]
    if first.rows == 0 or sum(job.rows for job in batch) >= first.model.min_batch_size:
        return -math.inf
    timeout_ms = first.model.min_batch_timeout_ms
    return first.queued + timeout_ms / 1000 if timeout_ms else math.inf


def _run(batch: list[Job]) -> list[list[Array]]:
    """Execute a batch in one go and give every job its rows of the outputs."""
    run = batch[0].model.executable.run
    if len(batch) == 1:
        return [run(batch[0].inputs)]
    columns = zip(*(job.inputs for job in batch), strict=True)
    outputs = run([np.concatenate(arrays) for arrays in columns])
    ends = np.cumsum([job.rows for job in batch])
    if any(output.ndim == 0 or output.shape[0] != ends[-1] for output in outputs):
        msg = "ERR Model did not generate the expected batch size"
        raise CommandError(msg)
    slices = [np.split(output, ends[:-1]) for output in outputs]
    return [[rows[n] for rows in slices] for n in range(len(batch))]


def _finish(batch: list[Job], results: Sequence[list[Array] | Exception], duration_us: int) -> None:
    """Count the run and hand the results over; in the network loop's thread."""
    for job, result in zip(batch, results, strict=True):
        stats = job.model.stats
        stats.calls += 1
        if isinstance(result, Exception):
            stats.errors += 1
        else:
            stats.duration_us += duration_us
            stats.samples += len(result[0]) if result and result[0].ndim else 1
        _resolve(job.done, result)


def _resolve(done: asyncio.Future[list[Array]], result: list[Array] | Exception) -> None:
    if done.cancelled():
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
