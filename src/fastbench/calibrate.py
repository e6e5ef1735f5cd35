"""What the client itself can do: a plan without its schedule against the null server.

The ceiling is threads / CPU seconds per inference of the worker threads, not the rate that was
reached: that one is often bound by round trips or by the null server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fastbench import platform_info
from fastbench._engine import Engine, NullServer
from fastbench.cache import cache_folder
from fastbench.errors import UsageError
from fastbench.plan import (
    ANY_LENGTH,
    CLOSED_LOOP,
    PROTOCOL_RESP,
    SLOTS,
    Cluster,
    Data,
    Message,
    Plan,
    Stream,
)
from fastbench.repetition import now_utc
from fastbench.results import Calibration
from fastbench.servers.redis_server import RedisServer
from fastbench.targets import parse_target
from fastbench.verdict import HEADROOM_OK, highest_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.config import RunConfig
    from fastbench.plan import Address, Step
    from fastbench.results import Repetition

WARMUP_S = 0.1
MEASURE_S = 0.5
TRIES = 3
SERVER_BUSY = 0.80  # above it the null server, not the client, bounds the rate
_POLL_S = 0.05
_NS = 1e9
_SMALL_BYTES = 16  # a reply on the wire up to that is as good as "+OK"
_BULK_FRAME = 7  # of "$0" and the line ends around a value; longer lengths have more digits


@dataclasses.dataclass(frozen=True, slots=True)
class Replies:
    """What the null server answers with: ``value_bytes`` in each bulk string.

    ``always_bulk``: to every command, not only to those that read.
    """

    value_bytes: int
    always_bulk: bool = False


def calibrate_for(
    config: RunConfig, plan: Plan, repetitions: list[Repetition]
) -> Calibration | None:
    """Return the client's ceiling with the plan and replies of a run.

    None where it is not wanted or cannot be measured.
    Raises :class:`FastbenchError` where the null server cannot be reached (any more).
    """
    each = [r.client.received_bytes_per_inference for r in repetitions]
    known = [received for received in each if received is not None]
    if config.calibrate == "never" or not known:
        return None
    found = calibrate(
        plan,
        replies_like(plan, statistics.fmean(known)),
        fresh=config.calibrate == "always",
        enough_per_s=HEADROOM_OK * highest_rate(repetitions),
        address=None if config.null_server is None else find_null_server(config.null_server),
    )
    if found is None or config.null_server is None:
        return found
    return msgspec.structs.replace(found, server=config.null_server)


def replies_like(plan: Plan, received: float) -> Replies:
    """Return replies as those that were seen: ``received`` bytes for each inference.

    Where the plan says what must come back, that counts; else the mean size of a reply does.
    """
    expected = [e.length for s in plan.streams for m in s.messages for e in m.expect]
    values = [length for length in expected if length != ANY_LENGTH and length > 0]
    chained = any(s.before for s in plan.streams)  # what is fetched must be a value, always
    if values:
        return Replies(max(values), always_bulk=chained)
    per_reply = received / _mean_replies(plan)
    if per_reply <= _SMALL_BYTES:
        return Replies(0, always_bulk=chained)
    value = max(0, round(per_reply) - _BULK_FRAME)
    return Replies(max(0, round(per_reply) - _BULK_FRAME - len(str(value))), always_bulk=True)


def _mean_replies(plan: Plan) -> float:
    replies = [
        m.replies + sum(step.message.replies for step in s.before)
        for s in plan.streams
        for m in s.messages
    ]
    return sum(replies) / len(replies)


def calibrate(
    plan: Plan,
    replies: Replies,
    *,
    fresh: bool = False,
    enough_per_s: float = 0.0,
    address: Address | None = None,
) -> Calibration | None:
    """Return what the client does with ``plan``, from an earlier calibration where there is one.

    ``fresh``: measure anew. ``enough_per_s``: a ceiling below it is measured again, the highest
    of three counts: what else runs on the machine can only make the client look dearer.
    ``address``: of a null server elsewhere; None = one in this process.
    None where it cannot be measured: over TLS or HTTP, which the null server does not speak,
    or where the client had no time to send anything.
    Raises :class:`FastbenchError` where the null server cannot be reached.
    """
    steps = [step for stream in plan.streams for step in stream.before]
    http = any(stream.protocol != PROTOCOL_RESP for stream in plan.streams)
    if http or any(stream.tls for stream in plan.streams) or any(step.tls for step in steps):
        return None
    file = _cache_file(plan, replies, address)
    earlier = None if fresh else _read(file)
    if earlier is not None and earlier.ceiling_per_s >= enough_per_s:
        return msgspec.structs.replace(earlier, cached=True)
    found = [msgspec.structs.replace(earlier, cached=True)] if earlier is not None else []
    for _ in range(TRIES):
        found += _once(plan, replies, address)
        if any(one.ceiling_per_s >= enough_per_s for one in found):
            break
    if not found:
        return None
    best = max(found, key=lambda one: one.ceiling_per_s)
    if not best.cached:
        _write(file, best)
    return best


def _once(plan: Plan, replies: Replies, address: Address | None) -> list[Calibration]:
    if address is not None:
        return _measure(plan, replies, address, None)
    with _null_server(plan, replies) as (server, where):
        return _measure(plan, replies, where, server)


def find_null_server(url: str) -> Address:
    """Return the address of a null server elsewhere.

    Raises :class:`UsageError` where what answers there is something else, and as
    :class:`fastbench.servers.redis_server.RedisServer` where nothing does.
    """
    with RedisServer(parse_target(url)) as server:
        if not server.is_null_server:
            msg = f"--null-server {url}: a {server.name} answers there, not 'fastbench null-server'"
            raise UsageError(msg)
        return server.address


@contextlib.contextmanager
def _null_server(plan: Plan, replies: Replies) -> Iterator[tuple[NullServer, Address]]:
    """Run a null server on CPUs that the plan leaves free, on the same kind of socket."""
    spare = [cpu for cpu in platform_info.allowed_cpus() if cpu not in plan.cpus]
    threads = max(1, min(plan.threads, len(spare)))
    unix = isinstance(plan.streams[0].addresses[0], str)
    with tempfile.TemporaryDirectory(prefix="fastbench-null-") as folder:
        path = str(Path(folder, "socket")) if unix else None
        server = NullServer(
            "127.0.0.1",
            0,
            path,
            threads,
            tuple(spare[:threads]),
            reply_bytes=replies.value_bytes,
            always_bulk=replies.always_bulk,
        )
        with server:
            yield server, path or ("127.0.0.1", server.port)


def against(plan: Plan, address: Address, value_bytes: int = 0) -> Plan:
    """Return the plan in a closed loop against a null server, which knows no right answers.

    ``value_bytes``: of its replies, for which the steps of a chain must have room.
    """
    return dataclasses.replace(
        plan,
        streams=tuple(_stream(s, address, value_bytes) for s in plan.streams),
        warmup_ns=round(WARMUP_S * _NS),
        duration_ns=round(MEASURE_S * _NS),
        requests=0,
        captures=0,
        max_errors=-1,
        spin_ns=0,
    )


def _stream(stream: Stream, address: Address, value_bytes: int) -> Stream:
    return dataclasses.replace(
        stream,
        addresses=(address,),
        # Still a cluster, of one node: finding each inference's node is the client's cost too.
        cluster=stream.cluster and Cluster(("null server",), (0,) * SLOTS),
        before=tuple(_step(step, address, value_bytes) for step in stream.before),
        messages=tuple(_any_answer(m) for m in stream.messages),
        opening=(),  # what logs in is nobody else's business
        schedule=CLOSED_LOOP,
        max_outstanding=0,
    )


def _step(step: Step, address: Address, value_bytes: int) -> Step:
    return dataclasses.replace(
        step,
        target="",
        addresses=(address,),
        message=_any_answer(step.message),
        opening=(),
        fetch_bytes=max(step.fetch_bytes, value_bytes) if step.fetch_bytes else 0,
    )


def _any_answer(message: Message) -> Message:
    return dataclasses.replace(message, expect=())


def _measure(
    plan: Plan, replies: Replies, address: Address, server: NullServer | None
) -> list[Calibration]:
    """Return the calibration; nothing where nothing was answered."""
    with Engine(against(plan, address, replies.value_bytes)) as engine:
        engine.start()
        while not engine.wait(_POLL_S):
            pass
        engine.join()
        totals = [engine.totals(i) for i in range(len(plan.streams))]
        cpu_ns = sum(t.user_ns + t.system_ns for t in engine.threads())
        measured_s = (totals[0].end_ns - totals[0].begin_ns) / _NS
    answered = sum(t.answered for t in totals)
    if not answered or not cpu_ns:
        return []
    served_s = max(cpu_s for cpu_s, _, _ in server.stats()) if server else 0.0
    busy = min(1.0, served_s / (WARMUP_S + measured_s))
    found = Calibration(
        ceiling_per_s=plan.threads * answered / (cpu_ns / _NS),
        cpu_us_per_inference=cpu_ns / 1e3 / answered,
        raw_per_s=answered / measured_s,
        raw_is_bound=busy > SERVER_BUSY,
        server_busy=busy,
        server="in process" if server else "",  # who has its URL fills that in
        measured_s=measured_s,
        at=now_utc(),
    )
    return [found]


# ---- kept for the next run of the same plan on this host


def _cache_file(plan: Plan, replies: Replies, address: Address | None) -> Path:
    """Return where the calibration is kept: by all that it depends on."""
    same = against(plan, "")
    streams = [dataclasses.replace(s, data=_sizes(s)) for s in same.streams]
    unix = isinstance(plan.streams[0].addresses[0], str)
    what = (
        version("fastbench"),
        platform.node(),
        platform.release(),
        platform_info.describe().get("cpu_model"),
        unix,
        address,
        _rounded(replies),
        repr(dataclasses.replace(same, seed=0, streams=tuple(streams))),
    )
    name = hashlib.sha256(repr(what).encode()).hexdigest()[:32]
    return cache_folder() / "calibrations" / f"{name}.json"


def _sizes(stream: Stream) -> tuple[Data, ...]:
    """Where the data lies, and what it is, makes no difference."""
    return tuple(dataclasses.replace(d, path="", offset=0) for d in stream.data)


def _rounded(replies: Replies) -> tuple[int, bool]:
    """Mean sizes differ a little from run to run: two digits of them name the same plan."""
    return int(float(f"{replies.value_bytes:.1e}")), replies.always_bulk


def _read(file: Path) -> Calibration | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError):
        return None  # never made, or unreadable: it is measured again


def _write(file: Path, calibration: Calibration) -> None:
    """Keep it; a cache that cannot be written only means that it is measured again."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(calibration))
        temporary.replace(file)
