"""Valkey by ``fastbench servers``: the commands as a user types them."""

from __future__ import annotations

import psutil
import redis
from support.cli import fastbench
from support.realservers import MARKS, STATE, servers, start, stopping

from fastbench.results import from_json

pytestmark = MARKS


def test_life() -> None:
    """Started, it answers on loopback; listed with pid and port; stopped, no process is left."""
    with stopping("valkey"):
        [url] = start("valkey").values()
        told = redis.Redis.from_url(url).info("server")
        bound = redis.Redis.from_url(url).config_get("bind")
        listed = servers("list").out
        again = servers("start", "valkey")
        process = psutil.Process(told["process_id"])
    stopped, after = servers("stop", "valkey"), servers("list").out

    assert (told["server_name"], told["valkey_version"]) == ("valkey", "9.1.2")
    assert bound == {"bind": "127.0.0.1"}
    assert f"runs, pid {told['process_id']}, ports redis {told['tcp_port']}" in listed
    assert url in listed
    assert again.out.split() == [url]
    assert "runs already" in again.err
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert "not running" in stopped.err
    assert url not in after
    assert not (STATE / "valkey" / "running.json").exists()


def test_commands() -> None:
    """It takes the load of ``fastbench command``."""
    with stopping("valkey"):
        [url] = start("valkey").values()
        short = ("--requests", 200, "--repetitions", 1, "--quiet", "--format", "json")
        done = fastbench("command", url, *short, "--", "SET", "key", "value")
        value = redis.Redis.from_url(url).get("key")

    assert done.code == 0, done.err
    assert from_json(done.out.encode()).repetitions[0].counts.ok == 200
    assert value == b"value"
