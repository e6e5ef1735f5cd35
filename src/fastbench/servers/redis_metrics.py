"""What a Redis-speaking server says about itself: INFO, and for a model AI.INFO; read-only.

Sources: the documentation of Redis' INFO command and of RedisAI's AI.INFO, and the fields that
RedisAI 1.2.7 adds to INFO MODULES.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import redis

from fastbench.errors import ServerError
from fastbench.monitor.metrics import Reading
from fastbench.password import hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIMEOUT_S = 2.0  # of connecting, and of each answer

#: Fields of INFO that only rise.
COUNTERS = frozenset(
    {
        "client_output_buffer_limit_disconnections",
        "client_query_buffer_limit_disconnections",
        "evicted_clients",
        "evicted_keys",
        "expired_keys",
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "keyspace_hits",
        "keyspace_misses",
        "rejected_connections",
        "total_commands_processed",
        "total_connections_received",
        "total_error_replies",
        "total_forks",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "total_reads_processed",
        "total_writes_processed",
        "used_cpu_sys",
        "used_cpu_sys_children",
        "used_cpu_sys_main_thread",
        "used_cpu_user",
        "used_cpu_user_children",
        "used_cpu_user_main_thread",
        "ai_self_used_cpu_sys",
        "ai_self_used_cpu_user",
        "ai_children_used_cpu_sys",
        "ai_children_used_cpu_user",
        "ai_onnxruntime_memory_access_num",
    }
)
#: How RedisAI's field for the CPU seconds of one queue's thread begins and ends.
QUEUE_CPU = ("ai_queue_", "_used_cpu_total")

#: Fields of INFO that go up and down.
GAUGES = frozenset(
    {
        "blocked_clients",
        "connected_clients",
        "instantaneous_input_kbps",
        "instantaneous_ops_per_sec",
        "instantaneous_output_kbps",
        "mem_fragmentation_ratio",
        "used_memory",
        "used_memory_rss",
        "ai_onnxruntime_memory",
    }
)

#: Fields of AI.INFO, and what they are called here.
MODEL_COUNTERS = {
    "calls": "model_calls",
    "duration": "model_duration_us",
    "errors": "model_errors",
    "samples": "model_samples",
}


class RedisMetrics:
    """A source of metrics; what is forbidden once is not asked again.

    ``client``: connects when it is first used, and has time-outs. ``model_keys``: of RedisAI; the
    figures of several models are added up.
    """

    def __init__(self, client: redis.Redis, model_keys: Sequence[str] = ()) -> None:
        self._client = client
        # Raw: redis-py would split ``queue_CPU:1_used_cpu:0.5`` at the wrong colon.
        self._client.set_response_callback("INFO", _raw)
        self._model_keys = model_keys
        self._backends: set[str] = set()
        self._forbidden: dict[str, str] = {}

    def read(self) -> Reading:
        """Ask once: at most two commands, and one for each model.

        Raises :class:`ServerError` where there is no answer in time.
        """
        try:
            models = self._read_models()
            fields = self._ask("INFO", lambda: _fields(self._client.execute_command("INFO")))
            # RedisAI may crash there where its ONNX backend has never had a model.
            if "ONNX" in self._backends:
                fields |= self._ask("INFO MODULES", self._read_modules)
        except (redis.RedisError, OSError, AttributeError, TypeError, ValueError) as error:
            # The last three: how redis-py stumbles over replies that Redis would not give.
            msg = f"asking for metrics: {hidden(str(error))}"
            raise ServerError(msg) from error
        counters = {n: v for n, v in fields.items() if n in COUNTERS or _is_queue_cpu(n)}
        return Reading(
            counters={**counters, **models},
            gauges={n: v for n, v in fields.items() if n in GAUGES},
            lacking="; ".join(f"{name}: {why}" for name, why in self._forbidden.items()),
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(self, name: str, read: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Return what ``read`` finds, nothing once the server has refused it."""
        if name in self._forbidden:
            return {}
        try:
            return read()
        except redis.ResponseError as error:
            self._forbidden[name] = hidden(str(error))
            return {}

    def _read_modules(self) -> dict[str, float]:
        return _fields(self._client.execute_command("INFO", "MODULES"))

    def _read_models(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for key in self._model_keys:
            name = "AI.INFO" if len(self._model_keys) == 1 else f"AI.INFO {key}"
            for field, value in self._ask(name, partial(self._read_model, key)).items():
                sums[field] = sums.get(field, 0.0) + value
        return sums

    def _read_model(self, key: str) -> dict[str, float]:
        told = _model_fields(self._client.execute_command("AI.INFO", key))
        self._backends.add(str(told.get("backend", "")))
        values = {name: told.get(field) for field, name in MODEL_COUNTERS.items()}
        return {n: float(v) for n, v in values.items() if isinstance(v, int) and v >= 0}


def parse_info(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each line of INFO.

    A line is split at its last colon where its name begins with RedisAI's prefix, for such names
    hold device names (``ai_queue_CPU:1_bthread_n1_used_cpu_total``); elsewhere at the first, for
    values may hold colons (``os``, ``master_host`` and paths).
    """
    for line in text.splitlines():
        name, colon, value = line.rpartition(":") if line.startswith("ai_") else line.partition(":")
        if colon and not line.startswith("#"):
            yield name, value.strip()


def _fields(reply: object) -> dict[str, float]:
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
    return {name: n for name, value in parse_info(text) if (n := _float(value)) is not None}


def _model_fields(reply: object) -> dict[str, object]:
    """Return AI.INFO's reply, a flat list of names and values, as a dictionary."""
    items = [_text(item) for item in reply] if isinstance(reply, list) else []
    return {str(name): value for name, value in zip(items[::2], items[1::2], strict=False)}


def _text(item: object) -> object:
    return item.decode(errors="replace") if isinstance(item, bytes) else item


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_queue_cpu(name: str) -> bool:
    return name.startswith(QUEUE_CPU[0]) and name.endswith(QUEUE_CPU[1])


def _raw(reply: Any, **_: Any) -> Any:
    return reply
