"""Shares tasks among worker processes and hands back their answers as they come."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from fastbench.datasets.worker import Answer, Job, Preparer, Task
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Answers = Generator[Answer, None, None]

#: Crops sent to a worker at once: hides the way there and back, and stays far below what a pipe
#: holds, so that neither side waits for the other to read.
_BATCH_CROPS = 16

#: A process costs about a quarter of a second to start: fewer images than this are not worth it.
_IMAGES_PER_WORKER = 64

_END_S = 10.0


def default_workers() -> int:
    """As many as there are CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def run(job: Job, tasks: Iterable[Task], images: int, workers: int | None) -> Answers:
    """Yield the answer to each task, in any order.

    ``workers``: processes; None = one per CPU, fewer where there are few images, and none for one
    worker: then this process does the work. Closing the iterator ends them.

    Raises :class:`DatasetError` where a worker ends early or cannot write.
    """
    if workers is None:
        workers = min(default_workers(), max(1, images // _IMAGES_PER_WORKER))
    source = _run_here(job, tasks) if workers == 1 else _run_processes(job, tasks, workers)
    with contextlib.closing(source) as answers:
        for answer in answers:
            if answer.failed:
                msg = f"{job.data}: cannot be written: {answer.failed}"
                raise DatasetError(msg)
            yield answer


def _run_here(job: Job, tasks: Iterable[Task]) -> Answers:
    preparer = Preparer(job)
    try:
        for task in tasks:
            yield preparer.prepare(task)
    finally:
        preparer.close()


def _run_processes(job: Job, tasks: Iterable[Task], workers: int) -> Answers:
    batches = _Batches(tasks)
    answers: queue.Queue[Answer | DatasetError | None] = queue.Queue(maxsize=1024)
    processes = [_start() for _ in range(workers)]
    threads = [
        threading.Thread(target=_drive, args=(process, job, batches, answers), daemon=True)
        for process in processes
    ]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            answer = answers.get()
            if answer is None:
                running -= 1
            elif isinstance(answer, DatasetError):
                raise answer
            else:
                yield answer
    finally:
        batches.stop()
        _end(processes, threads, answers)


class _Batches:
    """Hands out tasks to any thread, a few at a time, until there are none or it was stopped."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def take(self) -> list[Task]:
        with self._lock:
            batch: list[Task] = []
            crops = 0
            for task in self._tasks:
                batch.append(task)
                crops += len(task.corners)
                if crops >= _BATCH_CROPS:
                    break
            return batch

    def stop(self) -> None:
        with self._lock:
            self._tasks = iter(())


def _start() -> subprocess.Popen[bytes]:
    # Not multiprocessing: its spawn imports the caller's main module again, which fails for code
    # from standard input and repeats whatever an unguarded script does.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "fastbench.datasets.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def _drive(
    process: subprocess.Popen[bytes],
    job: Job,
    batches: _Batches,
    answers: queue.Queue[Answer | DatasetError | None],
) -> None:
    """Feed one worker, a batch at a time, and pass on its answers; None when it is done."""
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101 - both are pipes
    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(Answer)
    try:
        opening = encoder.encode(job) + b"\n"
        while batch := batches.take():
            process.stdin.write(opening + b"".join(encoder.encode(t) + b"\n" for t in batch))
            process.stdin.flush()
            opening = b""
            while batch:
                answers.put(decoder.decode(process.stdout.readline()))  # at its end: DecodeError
                batch.pop()
        answers.put(None)
    except (OSError, ValueError, msgspec.DecodeError):
        answers.put(DatasetError("a worker process ended early: out of memory, or killed"))


def _end(
    processes: list[subprocess.Popen[bytes]],
    threads: list[threading.Thread],
    answers: queue.Queue[Answer | DatasetError | None],
) -> None:
    """Let each worker finish the image that it is at, then end it, at the latest after _END_S."""
    for thread in threads:
        while thread.is_alive():  # it may be waiting for room in the queue
            _discard(answers)
            thread.join(timeout=0.01)
    for process in processes:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101 - both are pipes
        with contextlib.suppress(OSError):  # of a worker that ended before it had read all
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _discard(answers: queue.Queue[Answer | DatasetError | None]) -> None:
    try:
        while True:
            answers.get_nowait()
    except queue.Empty:
        return
