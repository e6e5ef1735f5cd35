"""From what the user asked for to a plan for the engine, on the machine as it is."""

from __future__ import annotations

import dataclasses
import resource
from typing import TYPE_CHECKING

from fastbench.errors import UsageError
from fastbench.plan import ALL_CAPTURES, Plan
from fastbench.schedules import make_schedule, scheduled_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.config import RunConfig
    from fastbench.plan import Schedule, Stream

DEFAULT_DURATION_S = 5.0
SPIN_NS = 60_000  # longer than the kernel takes to wake a thread
INTERVALS = 25  # of the time series, at least: fewer show neither warm-up nor drift
SHORTEST_INTERVAL_NS = 100_000_000
USUAL_INTERVAL_NS = 1_000_000_000
MOST_INTERVALS = 1800  # some 5 KB each, in memory and in result.json
WAITING_REPLIES_BYTES = 64 * 1024 * 1024  # kept to be compared, all threads and streams together
MAX_WAITING = 65_535  # of a thread: their number has 16 bits
SPARE_FILES = 64  # descriptors that are open besides the connections and what threads have
FILES_PER_THREAD = 4  # epoll, and what the splicer opens (csrc/splicer)
_NS_PER_S = 1e9


def make_plan(
    config: RunConfig, streams: Sequence[tuple[RunConfig, Stream]], cpus: tuple[int, ...]
) -> Plan:
    """Return what one repetition tells the engine; ``streams``: each with what holds for it.

    Raises :class:`UsageError` where the profiles of streams end at different times.
    """
    schedules = [make_schedule(own) for own, _ in streams]
    verify = max(ALL_CAPTURES if own.verify == "all" else own.verify for own, _ in streams)
    reply_bytes = max(_reply_bytes(s) for own, s in streams if own.verify) if verify else 0
    limit = 0 if config.fail_fast else config.max_errors
    duration_ns = _duration_ns(config, [own for own, _ in streams], schedules)
    return Plan(
        streams=tuple(
            dataclasses.replace(stream, schedule=schedule, max_outstanding=own.max_outstanding)
            for (own, stream), schedule in zip(streams, schedules, strict=True)
        ),
        threads=config.threads,
        cpus=cpus,
        warmup_ns=round(config.warmup_s * _NS_PER_S),
        duration_ns=duration_ns,
        interval_ns=interval_ns(duration_ns),
        requests=config.requests or 0,
        spin_ns=SPIN_NS if config.spin else 0,
        timeout_ns=round(config.timeout_s * _NS_PER_S),
        seed=config.seed,
        max_errors=-1 if limit is None else limit,
        captures=verify,
        capture_room=_reply_room(reply_bytes, config.threads * len(streams)) if verify else 0,
        capture_bytes=reply_bytes,
    )


def interval_ns(duration_ns: int) -> int:
    """Return the length of an interval: 1 s, but for short and very long measure phases.

    Below 25 s there are 25 of them, of 0.1 s at least; beyond 1,800 s there are 1,800, so that
    neither memory nor the result's files grow without end.
    """
    fitting_ns = duration_ns // INTERVALS or USUAL_INTERVAL_NS
    usual_ns = min(max(fitting_ns, SHORTEST_INTERVAL_NS), USUAL_INTERVAL_NS)
    return max(usual_ns, -(-duration_ns // MOST_INTERVALS))


def connections_of(config: RunConfig) -> int:
    """Return how many connections a run opens: each step of a chain has as many."""
    fetches = len(config.command.fetches) if config.command else 0
    return config.total_connections * (1 + fetches + bool(config.reference_from))


def allow_connections(connections: int, threads: int) -> None:
    """Raise the soft limit of open files where connections and threads need it.

    Raises :class:`UsageError` when the hard limit is below.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_PER_THREAD * threads + SPARE_FILES
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        msg = (
            f"--connections {connections}: this process may open {hard} files only; "
            f"raise the limit (ulimit -n {needed}) or lower --connections"
        )
        raise UsageError(msg)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _duration_ns(
    config: RunConfig, streams: Sequence[RunConfig], schedules: Sequence[Schedule]
) -> int:
    """Return the length of measure; 0 = it ends by requests."""
    if config.requests is not None:
        return 0
    lengths = [scheduled_ns(own, s) for own, s in zip(streams, schedules, strict=True)]
    fixed = max(lengths)
    for own, length in zip(streams, lengths, strict=True):
        if own.profile is not None and length < fixed:
            msg = (
                f"--profile {own.profile!r} ends after {length / _NS_PER_S:g} s, another stream's "
                f"schedule after {fixed / _NS_PER_S:g} s: let them end together"
            )
            raise UsageError(msg)
    return fixed or round((config.duration_s or DEFAULT_DURATION_S) * _NS_PER_S)


def _reply_room(reply_bytes: int, shares: int) -> int:
    """Return how many replies each thread may keep of a stream, until they are compared."""
    return min(max(WAITING_REPLIES_BYTES // (shares * max(reply_bytes, 1)), 1), MAX_WAITING)


def _reply_bytes(stream: Stream) -> int:
    """Return room for one reply: its bulk strings and some for the frames around them."""
    return stream.reply_bytes or max(
        sum(max(e.length, 0) for e in m.expect if e.type == b"$") + 64 * len(m.expect)
        for m in stream.messages
    )
