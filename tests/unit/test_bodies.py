"""Which forms of body a target over HTTP or gRPC takes, and which is usual."""

from __future__ import annotations

from typing import Any

import pytest

from fastbench.bodies import BODIES, bodies_of, body_of, check_body
from fastbench.config import RunConfig, StreamConfig
from fastbench.errors import UsageError
from fastbench.streams import parts_of
from fastbench.targets import GRPC_KINDS, HTTP_KINDS, SECURE


@pytest.mark.parametrize(
    ("url", "usual"),
    [
        ("rest://h", "raw"),
        ("rests://h", "raw"),
        ("triton+http://h/m", "raw"),
        ("tfserving+https://h/m", "json"),
        ("torchserve://h/m", "raw"),
    ],
)
def test_usual_form(url: str, usual: str) -> None:
    """Bytes where a server takes them, JSON where it takes nothing else; a wish goes first."""
    assert body_of(url, None) == usual
    assert body_of(url, "multipart") == "multipart"
    check_body(url, None, fetched=usual == "raw")


def test_every_http_and_grpc_scheme_has_forms() -> None:
    """Whoever adds a kind of server says what it takes, with TLS as without."""
    secure = {scheme for scheme, kind in SECURE.items() if kind in {*HTTP_KINDS, *GRPC_KINDS}}

    assert set(BODIES) == {*HTTP_KINDS, *GRPC_KINDS, *secure}
    assert bodies_of("redisai://h") == ()


@pytest.mark.parametrize(
    ("url", "wanted", "words"),
    [
        ("rest://h", "xml", "one of raw, json, multipart"),
        ("triton+http://h/m", "multipart", "one of raw, json"),
        ("tfserving+http://h/m", "raw", "one of json, json-columns"),
        ("triton+grpc://h/m", "json", "one of raw, typed"),
        ("torchserve+grpc://h/m", "json", "one of raw, multipart"),
    ],
)
def test_unknown_forms(url: str, wanted: str, words: str) -> None:
    """What a kind of server does not take is refused with what it does."""
    with pytest.raises(UsageError, match=words):
        check_body(url, wanted, fetched=False)


@pytest.mark.parametrize("wanted", ["json", None])
def test_fetched_bytes_in_json(wanted: str | None) -> None:
    """Bytes from another server cannot be put into JSON, named as such or usual."""
    url = "tfserving+http://h/m" if wanted is None else "rest://h"

    with pytest.raises(UsageError, match="--no-reference"):
        check_body(url, wanted, fetched=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "rest://h/p"}, "--shm is for targets triton"),
        ({"target": "redisai://h:1"}, "--shm is for targets triton"),
        ({"target": "triton+http://h/m", "body": "json"}, "--shm and --body json"),
        (
            {
                "target": "triton+grpc://h/m",
                "workload": "fraud",
                "reference_from": "redis://h:1",
            },
            "--shm and --reference-from",
        ),
    ],
)
def test_shared_memory_is_not_for_all(options: dict[str, Any], words: str) -> None:
    """Whatever cannot lie in shared memory is refused in one line."""
    with pytest.raises(UsageError, match=words):
        RunConfig(shm=True, **options)


def test_shared_memory_of_some_streams() -> None:
    """Of several streams only those to servers that know it take it over."""
    to = ("triton+http://h/m", "triton+grpc://h/m", "rest://h/p")
    streams = tuple(StreamConfig(name=f"s{i}", own={"target": t}) for i, t in enumerate(to))
    parts = parts_of(RunConfig(target=to[0], shm=True, streams=streams, connections=3))

    assert [part.config.shm for part in parts] == [True, True, False]
