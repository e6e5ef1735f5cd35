"""INFO and AI.INFO as figures: what is a counter, where a line is split, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from fastbench.errors import ServerError
from fastbench.password import PASSWORD_VARIABLE
from fastbench.servers.redis_metrics import RedisMetrics, parse_info

INFO = b"""# Server\r
os:Linux 6.1: x86_64\r
executable:/opt/a:b\r
tcp_port:6379\r
# Clients\r
connected_clients:3\r
total_commands_processed:1000\r
used_cpu_user:1.5\r
mem_fragmentation_ratio:1.07\r
run_id:00e1\r
"""
MODULES = b"""# ai_versions
ai_RedisAI_version:1.2.7
ai_Torch_version:NA
# ai_cpu
ai_self_used_cpu_user:2.25
ai_main_thread_used_cpu_user:9.99
ai_queue_CPU:1_bthread_n1_used_cpu_total:0.75
"""
MODEL = [b"key", b"m", b"backend", b"ONNX", b"duration", 1200, b"samples", -1, b"calls", 3]


class Client:
    """A stand-in for redis-py: replies by command, exceptions are raised."""

    def __init__(self, **replies: Any) -> None:
        self.replies = {name.replace("_", " "): reply for name, reply in replies.items()}
        self.asked: list[str] = []

    def set_response_callback(self, *_: object) -> None:
        """Do nothing: replies here are raw already."""

    def execute_command(self, *words: str) -> Any:
        """Return the reply to the command, AI.INFO's of its key or, without that, of all."""
        name = "AIINFO" if words[0] == "AI.INFO" else " ".join(words)
        self.asked.append(name)
        own = words[0] == "AI.INFO" and words[1] in self.replies
        reply = self.replies[words[1] if own else name]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """There is nothing to close."""


def source(client: Client, *model_keys: str) -> RedisMetrics:
    """Return a source over the stand-in."""
    return RedisMetrics(client, model_keys)


def test_lines_are_split_where_the_name_ends() -> None:
    """Values may hold colons, and so may RedisAI's names."""
    fields = dict(parse_info((INFO + MODULES).decode()))

    assert fields["os"] == "Linux 6.1: x86_64"
    assert fields["executable"] == "/opt/a:b"
    assert fields["ai_queue_CPU:1_bthread_n1_used_cpu_total"] == "0.75"
    assert not any(name.startswith("#") for name in fields)


def test_plain_redis() -> None:
    """Only the fields that are known are kept, counters apart from gauges; one question."""
    client = Client(INFO=INFO)
    reading = source(client).read()

    assert reading.counters == {"total_commands_processed": 1000, "used_cpu_user": 1.5}
    assert reading.gauges == {"connected_clients": 3, "mem_fragmentation_ratio": 1.07}
    assert reading.lacking == ""
    assert client.asked == ["INFO"]


def test_model_of_redisai() -> None:
    """AI.INFO's counters have names of their own; -1 samples, as scripts have, is no number."""
    client = Client(INFO=INFO, INFO_MODULES=MODULES, AIINFO=MODEL)
    reading = source(client, "m").read()

    assert reading.counters == {
        "total_commands_processed": 1000,
        "used_cpu_user": 1.5,
        "ai_self_used_cpu_user": 2.25,
        "ai_queue_CPU:1_bthread_n1_used_cpu_total": 0.75,
        "model_calls": 3,
        "model_duration_us": 1200,
    }


def test_models_of_several_streams_are_added_up() -> None:
    """Calls of both models count; one that the server does not know is named, and asked once."""
    torch = [b"backend", b"TORCH", b"duration", 300, b"calls", 5]
    unknown = redis.ResponseError("ERR cannot find run info for key")
    client = Client(INFO=INFO, INFO_MODULES=MODULES, m=MODEL, t=torch, gone=unknown)
    metrics = source(client, "t", "gone", "m")
    first, second = metrics.read(), metrics.read()

    assert first == second
    assert first.counters["model_calls"] == 3 + 5
    assert first.counters["model_duration_us"] == 1200 + 300
    assert first.counters["ai_self_used_cpu_user"] == 2.25  # an ONNX model is among them
    assert first.lacking == "AI.INFO gone: ERR cannot find run info for key"
    rest = ["INFO", "INFO MODULES"]
    assert client.asked == [*(["AIINFO"] * 3), *rest, *(["AIINFO"] * 2), *rest]


@pytest.mark.parametrize("backend", [b"TF", b"TORCH"])
def test_backends_with_which_a_question_may_crash_the_server(backend: bytes) -> None:
    """INFO MODULES is asked only where an ONNX model is stored: else RedisAI might end."""
    reply = [backend if item == b"ONNX" else item for item in MODEL]
    client = Client(INFO=INFO, AIINFO=reply)
    source(client, "m").read()

    assert client.asked == ["AIINFO", "INFO"]


def test_what_is_forbidden_is_asked_once() -> None:
    """A managed service that forbids INFO still tells of the model; the reason is kept."""
    forbidden = redis.exceptions.NoPermissionError("no permissions to run the 'info' command")
    client = Client(INFO=forbidden, INFO_MODULES=forbidden, AIINFO=MODEL)
    metrics = source(client, "m")
    first, second = metrics.read(), metrics.read()

    assert first == second
    assert first.counters == {"model_calls": 3, "model_duration_us": 1200}
    assert first.lacking.startswith("INFO: no permissions")
    assert client.asked == ["AIINFO", "INFO", "INFO MODULES", "AIINFO"]


@pytest.mark.parametrize(
    "failure", [redis.TimeoutError("Timeout reading"), OSError("gone"), TypeError("odd reply")]
)
def test_failures_are_ours(failure: Exception) -> None:
    """No answer is one line, whatever broke."""
    with pytest.raises(ServerError, match=r"^asking for metrics: "):
        source(Client(INFO=failure)).read()


@pytest.mark.parametrize("reply", [None, 7, b"", b"\xff\xfe garbage", [b"x"], b"a:b:c\n:\n#"])
def test_replies_that_make_no_sense(reply: object) -> None:
    """Nothing is read into them."""
    reading = source(Client(INFO=reply, AIINFO=reply), "m").read()

    assert (reading.counters, reading.gauges) == ({}, {})


def test_secrets_in_refusals_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server says goes into the result: without the password that it may repeat."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    refused = redis.ResponseError("unknown user with hunter2")

    assert source(Client(INFO=refused)).read().lacking == "INFO: unknown user with ***"
    with pytest.raises(ServerError, match=r"^asking for metrics: unknown host \*\*\*$"):
        source(Client(INFO=redis.ConnectionError("unknown host hunter2"))).read()
