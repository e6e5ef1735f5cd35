"""Triton's statistics as counters."""

from __future__ import annotations

from typing import Any

import pytest
from support.modelservers import ModelServer, Reply

from fastbench.errors import FastbenchError
from fastbench.servers.http_server import HttpServer
from fastbench.servers.triton_metrics import TritonMetrics
from fastbench.targets import parse_target

PATH = "/v2/models/m/stats"
VERSION = {
    "name": "m",
    "version": "1",
    "last_inference": 1_700_000_000,
    "inference_count": 7,
    "execution_count": 3,
    "inference_stats": {
        "success": {"count": 5, "ns": 900},
        "queue": {"count": 5, "ns": 200},
        "compute_infer": {"count": 5, "ns": 500},
    },
    "batch_stats": [{"batch_size": 2, "compute_infer": {"count": 1, "ns": 2}}],
}


class Statistics(ModelServer):
    """A server that has only statistics: the same for all models, or ``{"/MODEL/": version}``."""

    def __init__(self, reply: Any) -> None:
        super().__init__()
        self.reply = reply

    def answer(self, _method: str, path: str, *_: object) -> Reply:
        """Return them."""
        if isinstance(self.reply, Reply):
            return self.reply
        of_model = [version for name, version in self.reply.items() if name in path]
        return Reply({"model_stats": of_model} if of_model else self.reply)


def counters(reply: Any, *paths: str) -> dict[str, float]:
    """Return what is read from a server that replies so."""
    with Statistics(reply) as server:
        target = parse_target(f"triton+http://{server.place}/m")
        metrics = TritonMetrics(HttpServer(target), paths, {})
        reading = metrics.read()
        metrics.close()
        assert [path for _, path in server.asked] == [*paths]
    assert dict(reading.gauges) == {}
    return dict(reading.counters)


def test_versions_are_added_up() -> None:
    """Counts and durations of all versions of the model are sums; all else is left out."""
    other = VERSION | {"version": "2", "inference_stats": {}}
    assert counters({"model_stats": [VERSION, other]}, PATH) == {
        "inference_count": 14,
        "execution_count": 6,
        "success_count": 5,
        "success_ns": 900,
        "queue_count": 5,
        "queue_ns": 200,
        "compute_infer_count": 5,
        "compute_infer_ns": 500,
    }


def test_models_are_added_up() -> None:
    """Where streams go to several models of a server, its figures are those of all."""
    each = {"/m/": VERSION, "/n/": VERSION | {"name": "n"}}
    found = counters(each, "/v2/models/m/stats", "/v2/models/n/stats")

    assert (found["inference_count"], found["queue_ns"]) == (14, 400)


def test_version_counts_once() -> None:
    """A stream to a model and one to a version of it do not make its counts twice what they are."""
    found = counters({"/m/": VERSION}, "/v2/models/m/stats", "/v2/models/m/versions/1/stats")

    assert (found["inference_count"], found["queue_ns"]) == (7, 200)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply({"error": "statistics are off"}, 400), "statistics are off"),
        (Reply(b"<html>"), "is not what it should be"),
        ({"model_stats": [{"inference_count": "x"}]}, "inference_count"),
    ],
)
def test_refusals(reply: Any, error: str) -> None:
    """What is no statistics is said to be that, in one line."""
    with pytest.raises(FastbenchError, match=error) as caught:
        counters(reply, PATH)

    assert "\n" not in str(caught.value)
