"""The text of INFO: Redis' sections, RedisAI's ``ai_`` fields, and who it really is."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastbench.serve.backends import onnxruntime_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastbench.serve.state import State

REDIS_VERSION = "7.0.15"  # the version whose plain commands are imitated
REDISAI_VERSION = "1.2.7"
ALL = {"all", "everything"}

Fields = dict[str, object]


def info_text(state: State, asked: list[str]) -> str:
    """Return ``# Section`` blocks of ``field:value`` lines; nothing asked = the usual ones."""
    sections = {
        "server": _server,
        "clients": _clients,
        "memory": _memory,
        "stats": _stats,
        "cpu": _cpu,
        "modules": _modules,
        "commandstats": _commandstats,
        "keyspace": _keyspace,
    }
    if not asked or "default" in asked:
        wanted = [name for name in sections if name != "commandstats" or name in asked]
    else:
        wanted = [name for name in sections if name in asked or not ALL.isdisjoint(asked)]
    return "\r\n".join(_block(name, sections[name](state)) for name in wanted)


def _block(name: str, fields: Fields) -> str:
    lines = [f"# {name.capitalize()}", *(f"{field}:{value}" for field, value in fields.items())]
    return "".join(line + "\r\n" for line in lines)


def _server(state: State) -> Fields:
    return {
        "redis_version": REDIS_VERSION,
        "redis_mode": "standalone",
        "fastbench_serve": importlib.metadata.version("fastbench"),
        "process_id": os.getpid(),
        "uptime_in_seconds": int(time.monotonic() - state.started),
    }


def _clients(state: State) -> Fields:
    return {"connected_clients": state.connections}


def _memory(_state: State) -> Fields:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {"used_memory": resident, "used_memory_rss": resident}


def _stats(state: State) -> Fields:
    return {"total_commands_processed": sum(s.calls for s in state.command_stats.values())}


def _cpu(_state: State) -> Fields:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "used_cpu_sys": f"{usage.ru_stime:.6f}",
        "used_cpu_user": f"{usage.ru_utime:.6f}",
    }


def _keyspace(state: State) -> Fields:
    return {
        f"db{n}": f"keys={len(keys)},expires=0,avg_ttl=0"
        for n, keys in enumerate(state.databases)
        if keys
    }


def _commandstats(state: State) -> Fields:
    return {
        f"cmdstat_{name.lower()}": (
            f"calls={stats.calls},usec={stats.usec},"
            f"usec_per_call={stats.usec / max(stats.calls, 1):.2f},"
            f"rejected_calls=0,failed_calls={stats.failed}"
        )
        for name, stats in state.command_stats.items()
    }


def _modules(state: State) -> Fields:
    settings = state.settings
    usage = resource.getrusage(resource.RUSAGE_SELF)
    main = resource.getrusage(resource.RUSAGE_THREAD)
    fields: Fields = {
        "module": "name=ai,ver=10207,api=1,filters=0,usedby=[],using=[],options=[]",
        "ai_RedisAI_version": REDISAI_VERSION,
        "ai_low_level_API_version": 1,
        "ai_threads_per_queue": settings.threads_per_queue,
        "ai_inter_op_parallelism": 0,
        "ai_intra_op_parallelism": settings.intra_op,
    }
    if "onnxruntime" in sys.modules:
        fields["ai_onnxruntime_version"] = onnxruntime_version()
    fields |= {
        "ai_self_used_cpu_sys": f"{usage.ru_stime:.6f}",
        "ai_self_used_cpu_user": f"{usage.ru_utime:.6f}",
        "ai_main_thread_used_cpu_sys": f"{main.ru_stime:.6f}",
        "ai_main_thread_used_cpu_user": f"{main.ru_utime:.6f}",
    }
    return fields | dict(_worker_cpu(state))


def _worker_cpu(state: State) -> Iterable[tuple[str, str]]:
    """CPU of the threads that take jobs; those that onnxruntime starts itself are not in it."""
    for queue in state.queues.values():
        for worker in queue.workers:
            if worker.ident is not None and worker.is_alive():
                clock = time.pthread_getcpuclockid(worker.ident)
                yield f"ai_{worker.name}_used_cpu_total", f"{time.clock_gettime(clock):.6f}"
