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
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from fastbench import platform_info
from fastbench._engine import Engine
from fastbench.cache import cache_folder
from fastbench.config import secret_of
from fastbench.null_servers import (
    COMMANDS,
    endpoints_of,
    find_null_server,
    kind_of,
    null_servers,
    replies_like,
)
from fastbench.plan import CLOSED_LOOP, PROTOCOL_HTTP, SLOTS, Cluster, Text, Tls
from fastbench.repetition import now_utc
from fastbench.results import Calibration
from fastbench.verdict import HEADROOM_OK, highest_rate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fastbench._nullserver import NullServer
    from fastbench.config import RunConfig
    from fastbench.measured import RawThread
    from fastbench.null_servers import Kind, Replies
    from fastbench.plan import Address, Data, Message, Plan, Step, Stream
    from fastbench.results import Repetition

WARMUP_S = 0.1
MEASURE_S = 0.5
TRIES = 3
SERVER_BUSY = 0.80  # above it the null server, not the client, bounds the rate
_POLL_S = 0.05
_NS = 1e9


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
        elsewhere=find_null_server(config.null_server) if config.null_server else None,
    )
    if found is None or config.null_server is None:
        return found
    return msgspec.structs.replace(found, server=config.null_server)


def calibrate(
    plan: Plan,
    replies: Replies,
    *,
    fresh: bool = False,
    enough_per_s: float = 0.0,
    elsewhere: Mapping[Kind, Address] | None = None,
) -> Calibration | None:
    """Return what the client does with ``plan``, from an earlier calibration where there is one.

    ``fresh``: measure anew. ``enough_per_s``: a ceiling below it is measured again, the highest
    of three counts: what else runs on the machine can only make the client look dearer.
    ``elsewhere``: where a null server is, by what it speaks; None = in this process.
    None where it cannot be measured: in what the null server does not speak, or where the client
    had no time to send anything.
    Raises :class:`FastbenchError` where the null server cannot be reached, or in this process
    cannot run: it does not know the cipher, or this build no TLS.
    """
    if not all(_is_spoken(kind_of(endpoint), elsewhere) for endpoint in endpoints_of(plan)):
        return None
    file = _cache_file(plan, replies, elsewhere)
    earlier = None if fresh else _read(file)
    if earlier is not None and earlier.ceiling_per_s >= enough_per_s:
        return msgspec.structs.replace(earlier, cached=True)
    found = [msgspec.structs.replace(earlier, cached=True)] if earlier is not None else []
    for _ in range(TRIES):
        found += _once(plan, replies, elsewhere)
        if any(one.ceiling_per_s >= enough_per_s for one in found):
            break
    if not found:
        return None
    best = max(found, key=lambda one: one.ceiling_per_s)
    if not best.cached:
        _write(file, best)
    return best


def _is_spoken(kind: Kind, elsewhere: Mapping[Kind, Address] | None) -> bool:
    return kind.protocol in COMMANDS if elsewhere is None else kind in elsewhere


def _once(
    plan: Plan, replies: Replies, elsewhere: Mapping[Kind, Address] | None
) -> list[Calibration]:
    if elsewhere is not None:
        return _measure(plan, replies, elsewhere, ())
    with null_servers(plan, replies) as (servers, addresses):
        return _measure(plan, replies, addresses, servers)


def against(plan: Plan, addresses: Mapping[Kind, Address], value_bytes: int = 0) -> Plan:
    """Return the plan in a closed loop against null servers, which know no right answers.

    ``addresses``: of them, by what they speak. ``value_bytes``: of their replies, for which the
    steps of a chain must have room.
    """
    return dataclasses.replace(
        plan,
        streams=tuple(_stream(s, addresses, value_bytes) for s in plan.streams),
        warmup_ns=round(WARMUP_S * _NS),
        duration_ns=round(MEASURE_S * _NS),
        requests=0,
        captures=0,
        max_errors=-1,
        spin_ns=0,
    )


def _stream(stream: Stream, addresses: Mapping[Kind, Address], value_bytes: int) -> Stream:
    return dataclasses.replace(
        stream,
        addresses=(addresses[kind_of(stream)],),
        tls=stream.tls and _trusting(stream.tls),
        # Still a cluster, of one node: finding each inference's node is the client's cost too.
        cluster=stream.cluster and Cluster(("null server",), (0,) * SLOTS),
        before=tuple(_step(step, addresses, value_bytes) for step in stream.before),
        messages=tuple(_message(m, stream.protocol) for m in stream.messages),
        opening=(),  # what logs in is nobody else's business
        schedule=CLOSED_LOOP,
        max_outstanding=0,
    )


def _step(step: Step, addresses: Mapping[Kind, Address], value_bytes: int) -> Step:
    return dataclasses.replace(
        step,
        target="",
        addresses=(addresses[kind_of(step)],),
        tls=step.tls and _trusting(step.tls),
        message=_message(step.message, step.protocol),
        opening=(),
        fetch_bytes=max(step.fetch_bytes, value_bytes) if step.fetch_bytes else 0,
    )


def _trusting(tls: Tls) -> Tls:
    """Return what takes any certificate and shows none: handshakes are not measured."""
    name = "null.invalid"  # RFC 2606: nobody's; it is sent, and not compared
    return Tls(server_name=name, min_version=tls.min_version, insecure=True, suite=tls.suite)


def _message(message: Message, protocol: int) -> Message:
    """Return it for any answer, and without what logs in."""
    parts, head = message.parts, tuple((name, _hidden(name, v)) for name, v in message.head)
    if protocol == PROTOCOL_HTTP and isinstance(parts[0], Text):
        parts = (Text(_without_secrets(parts[0].data)), *parts[1:])
    return dataclasses.replace(message, parts=parts, head=head, expect=())


def _hidden(name: str, value: str) -> str:
    return "x" * len(value) if secret_of(f"{name}: {value}") else value


def _without_secrets(text: bytes) -> bytes:
    """Return a text that begins with a head of HTTP, each secret in it made as many x."""
    head, end, rest = text.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    secrets = [secret_of(line) for line in lines]
    hidden = [
        line[: line.rindex(secret)] + "x" * len(secret) if secret else line
        for line, secret in zip(lines, secrets, strict=True)
    ]
    return "\r\n".join([request_line, *hidden]).encode("latin-1") + end + rest


def _busy_ns(thread: RawThread) -> int:
    """Return the CPU time of a thread without that in which it polled in vain for the server.

    Of the time it polled, what it may have waited for a CPU was none of its CPU time.
    """
    used_ns = thread.user_ns + thread.system_ns
    waited_ns = used_ns if thread.run_delay_ns is None else thread.run_delay_ns
    return used_ns - min(max(thread.spin_ns - waited_ns, 0), used_ns)


def _measure(
    plan: Plan, replies: Replies, addresses: Mapping[Kind, Address], servers: Sequence[NullServer]
) -> list[Calibration]:
    """Return the calibration; nothing where nothing succeeded: an error may cost less."""
    with Engine(against(plan, addresses, replies.value_bytes)) as engine:
        engine.start()
        while not engine.wait(_POLL_S):
            pass
        engine.join()
        totals = [engine.totals(i) for i in range(len(plan.streams))]
        cpu_ns = sum(_busy_ns(t) for t in engine.threads())
        measured_s = (totals[0].end_ns - totals[0].begin_ns) / _NS
    completed = sum(t.completed for t in totals)
    if not completed or not cpu_ns:
        return []
    served_s = max((cpu_s for s in servers for cpu_s, _, _ in s.stats()), default=0.0)
    busy = min(1.0, served_s / (WARMUP_S + measured_s))
    found = Calibration(
        ceiling_per_s=plan.threads * completed / (cpu_ns / _NS),
        cpu_us_per_inference=cpu_ns / 1e3 / completed,
        raw_per_s=completed / measured_s,
        raw_is_bound=busy > SERVER_BUSY,
        server_busy=busy,
        server="in process" if servers else "",  # who has its URL fills that in
        measured_s=measured_s,
        at=now_utc(),
    )
    return [found]


# ---- kept for the next run of the same plan on this host


def _cache_file(plan: Plan, replies: Replies, elsewhere: Mapping[Kind, Address] | None) -> Path:
    """Return where the calibration is kept: by all that it depends on."""
    same = against(plan, dict.fromkeys(map(kind_of, endpoints_of(plan)), ""))
    streams = [dataclasses.replace(s, data=_sizes(s)) for s in same.streams]
    unix = [isinstance(end.addresses[0], str) for end in endpoints_of(plan)]
    what = (
        version("fastbench"),
        platform.node(),
        platform.release(),
        platform_info.describe().get("cpu_model"),
        unix,
        elsewhere,
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
