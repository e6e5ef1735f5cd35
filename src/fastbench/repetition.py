"""One repetition: the engine from connecting to the last reply, watched and written down."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fastbench._engine import Engine
from fastbench.books import Books, all_of
from fastbench.checker import Checkers
from fastbench.errors import FastbenchError
from fastbench.interrupts import orderly
from fastbench.journal import Begin
from fastbench.password import hidden
from fastbench.report.progress import Progress
from fastbench.results import ClientUsage, NodeCounts, Repetition, ThreadUsage
from fastbench.series import HistogramSum
from fastbench.steps import step_results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastbench.job import Job
    from fastbench.journal import Journal
    from fastbench.measured import RawThread, Snapshot, Totals
    from fastbench.monitor.sampler import Monitor, Usage
    from fastbench.plan import Plan
    from fastbench.results import Latency

POLL_S = 0.1
_RECENT_S = 1.0  # what the live view takes for now
_NS_PER_S = 1e9


class Display(Protocol):
    """Shows the progress of a repetition; see :class:`fastbench.report.live.Live`."""

    def update(self, progress: Progress) -> None:
        """Show the state of now; called about ten times a second."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the engine ended: ``status`` and, where it ended early, the error."""

    status: str
    error: FastbenchError | None = None

    @classmethod
    def of(cls, error: FastbenchError | None, *, interrupted: bool) -> Outcome:
        """Return how it ended; an error weighs more than that it was interrupted too."""
        if error is not None:
            return cls("partial", error)
        return cls("interrupted" if interrupted else "complete")


def now_utc() -> str:
    """Return the time as ISO 8601 in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def run_repetition(
    plan: Plan,
    index: int,
    jobs: Sequence[Job],
    *,
    make_monitor: Callable[[Callable[[], list[int]]], Monitor],
    display: Display,
    journal: Journal | None = None,
) -> tuple[Repetition, Outcome]:
    """Run ``plan`` once; ``jobs``: what its streams are, in order.

    ``make_monitor``: given what returns the ids of the worker threads, makes what watches the run.
    A run that breaks or is interrupted gives what was measured until then; ``journal`` keeps it for
    the case that the process is killed.

    Raises :class:`FastbenchError` or KeyboardInterrupt when it ended before anything was measured,
    and :class:`fastbench.interrupts.SecondInterrupt` when it is interrupted again.
    """
    started_at = now_utc()
    books = Books(plan, jobs, journal)
    if journal:
        journal.begin(_begin(plan, index, started_at, jobs))
    with orderly() as interrupts, Engine(plan) as engine, Checkers(jobs) as checkers:
        monitor = make_monitor(lambda: [t.tid for t in engine.threads()])
        with monitor:
            interrupts.first_calls(engine.stop, checkers.give_up)
            error = _drive(engine, plan, books, checkers, _Watch(plan, display, monitor))
        if (error or interrupts.came) and not _measured_anything(engine, plan):
            raise error or KeyboardInterrupt
        measured = books.finish(engine, checkers.finish(engine))
        usage = monitor.stop()
        repetition = Repetition(
            index=index,
            started_at=started_at,
            measured_s=measured.measured_s,
            status=Outcome.of(error, interrupted=interrupts.came).status,
            client=_client(engine, measured.totals, usage),
            gpus=usage.gpus,
            nodes=_nodes(engine, plan),
            steps=step_results(engine, plan, jobs, measured.streams),
            error=str(error or ""),
            **_servers(usage),
            **measured.fields,
        )
    return repetition, Outcome.of(error, interrupted=interrupts.came)


def _begin(plan: Plan, index: int, started_at: str, jobs: Sequence[Job]) -> Begin:
    streams = jobs if len(jobs) > 1 else []
    return Begin(
        index=index,
        started_at=started_at,
        batch=jobs[0].batch,
        batches={job.name: job.batch for job in streams},
        duration_s=plan.duration_ns / _NS_PER_S or None,
        target_per_s=all_of([job.target_per_s for job in jobs]),
        targets={job.name: job.target_per_s for job in streams if job.target_per_s is not None},
    )


def _nodes(engine: Engine, plan: Plan) -> list[NodeCounts]:
    """Return what the nodes of clusters did, all streams together; nothing elsewhere."""
    found: dict[str, dict[str, int]] = {}
    for index, stream in enumerate(plan.streams):
        names = stream.cluster.names if stream.cluster else ()
        for name, node in zip(names, engine.nodes(index) if names else (), strict=True):
            sums = found.setdefault(name, {})
            for field, count in dataclasses.asdict(node).items():
                sums[field] = sums.get(field, 0) + count
    return [NodeCounts(address=name, **sums) for name, sums in found.items()]


def _servers(usage: Usage) -> dict[str, Any]:
    """Return the fields of what was watched of the server, or of several."""
    if len(usage.servers) != 1:
        return {"servers": usage.servers}
    (alone,) = usage.servers
    return {"server": alone.process, "server_metrics": alone.metrics}


def _measured_anything(engine: Engine, plan: Plan) -> bool:
    return any(engine.totals(stream).intended for stream in range(len(plan.streams)))


def _drive(
    engine: Engine, plan: Plan, books: Books, checkers: Checkers, watch: _Watch
) -> FastbenchError | None:
    """Start, watch until the end, join; return what ended it early."""
    engine.start()
    while not engine.wait(min(POLL_S, plan.interval_ns / _NS_PER_S / 2)):
        books.take(engine)
        checkers.feed(engine)
        watch.show(engine.snapshot(), books)
    return joined(engine)


def joined(engine: Engine) -> FastbenchError | None:
    """Join the threads of ``engine``; return what ended it early, without secrets."""
    try:
        engine.join()
    except FastbenchError as error:
        return type(error)(hidden(str(error)))
    return None


class _Watch:
    """Turns snapshots into progress."""

    def __init__(self, plan: Plan, display: Display, monitor: Monitor) -> None:
        self._totals_s = {
            "warm-up": plan.warmup_ns / _NS_PER_S,
            "measure": plan.duration_ns / _NS_PER_S or None,
        }
        self._display = display
        self._monitor = monitor
        self._first: Snapshot | None = None  # of the phase
        self._recent: deque[Snapshot] = deque(maxlen=round(_RECENT_S / POLL_S) + 1)

    def show(self, now: Snapshot, books: Books) -> None:
        if self._first is None or now.phase != self._first.phase:
            self._first = now
            self._recent.clear()  # the rate of a phase is its own
        self._recent.append(now)
        newest = books.intervals[-1] if books.intervals else None
        self._display.update(
            Progress(
                phase=now.phase,
                elapsed_s=(now.now_ns - self._first.now_ns) / _NS_PER_S,
                total_s=self._totals_s.get(now.phase),
                done=now.completed - self._first.completed,
                rate_per_s=self._rate(),
                p50_ms=newest.response_p50_ms if newest else None,
                p95_ms=newest.response_p95_ms if newest else None,
                p99_ms=newest.response_p99_ms if newest else None,
                errors=now.failed,
                client_cpu_percent=self._monitor.client_cpu_percent,
                server_cpu_percent=self._monitor.server_cpu_percent,
                thread_cpu_percents=self._monitor.thread_cpu_percents,
                streams=tuple(books.newest),
            )
        )

    def _rate(self) -> float | None:
        """Return what came back per second lately; None at the beginning of a phase."""
        first, last = self._recent[0], self._recent[-1]
        elapsed_s = (last.now_ns - first.now_ns) / _NS_PER_S
        return (last.completed - first.completed) / elapsed_s if elapsed_s else None


def _client(engine: Engine, totals: Totals, usage: Usage) -> ClientUsage:
    threads = engine.threads()
    user_ns = sum(t.user_ns for t in threads)
    system_ns = sum(t.system_ns for t in threads)

    def per_inference(total: float) -> float | None:
        return total / totals.answered if totals.answered else None

    return ClientUsage(
        cpu_us_per_inference=per_inference((user_ns + system_ns) / 1e3),
        user_us_per_inference=per_inference(user_ns / 1e3),
        system_us_per_inference=per_inference(system_ns / 1e3),
        threads=[
            _thread(i, t, usage.threads[i] if usage.threads else []) for i, t in enumerate(threads)
        ],
        process=usage.client,
        host=usage.host,
        bytes_sent=totals.bytes_sent,
        bytes_received=totals.bytes_received,
        received_bytes_per_inference=per_inference(totals.bytes_answered),
        connection_breaks=totals.breaks,
        reconnects=totals.reconnects,
        late_replies=totals.late,
        reply_lag_ms=_reply_lag(engine),
        blocked_s=totals.blocked_ns / _NS_PER_S,
        window_full_s=sum(t.window_full_ns for t in threads) / _NS_PER_S,
    )


def _reply_lag(engine: Engine) -> Latency | None:
    lag = HistogramSum()
    lag.add(engine.reply_lag())
    return lag.latency() if lag.total else None


def _thread(index: int, t: RawThread, samples: list[float]) -> ThreadUsage:
    elapsed_s = t.elapsed_ns / _NS_PER_S
    spin_ns = min(t.spin_ns, t.user_ns + t.system_ns)  # wall time: it may have lost its CPU
    busy_s = (t.user_ns + t.system_ns - spin_ns) / _NS_PER_S
    return ThreadUsage(
        name=f"fb-w{index}",
        cpu=t.cpu,
        user_s=t.user_ns / _NS_PER_S,
        system_s=t.system_ns / _NS_PER_S,
        elapsed_s=elapsed_s,
        busy=busy_s / elapsed_s if elapsed_s else 0.0,
        voluntary_switches=t.voluntary_switches,
        involuntary_switches=t.involuntary_switches,
        major_faults=t.major_faults,
        run_delay_s=None if t.run_delay_ns is None else t.run_delay_ns / _NS_PER_S,
        spin_s=spin_ns / _NS_PER_S,
        stalls=t.stalls,
        stalled_s=t.stalled_ns / _NS_PER_S,
        longest_turn_ms=t.longest_turn_ns / 1e6,
        cpu_percent_samples=samples,
    )
