"""What a run can be asked for: limits, choices, contradictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fastbench.config import RunConfig, TlsConfig, option, secrets_of
from fastbench.errors import EXIT_USAGE, UsageError


def test_defaults_are_valid() -> None:
    """Without any argument: the embedded server, one thread, one connection, 3 repetitions."""
    config = RunConfig()

    assert (config.target, config.threads, config.total_connections) == ("embedded:", 1, 1)
    assert (config.pipeline, config.batch, config.repetitions) == (1, 1, 3)
    assert config.duration_s is None
    assert config.requests is None


@pytest.mark.parametrize("name", ["threads", "connections", "pipeline", "batch", "repetitions"])
@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_counts_out_of_range(name: str, value: int) -> None:
    """Zero, negative and absurd counts are refused by the name of the option and the value."""
    with pytest.raises(UsageError, match=rf"^--{name} {value}: must be between 1 and ") as caught:
        RunConfig(**{name: value})

    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("name", ["duration_s", "warmup_s", "timeout_s"])
@pytest.mark.parametrize("value", [-1.0, 1e9, math.nan, math.inf, -math.inf])
def test_times_out_of_range(name: str, value: float) -> None:
    """Negative, absurd and not-a-number times are refused."""
    with pytest.raises(UsageError, match=rf"^{option(name)} {value}: must be between "):
        RunConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration_s", 0.0),
        ("timeout_s", 0.0),
        ("requests", 0),
        ("requests", 10**18),
        ("verify", -1),
        ("max_errors", -1),
        ("seed", -1),
        ("seed", 2**64),
        ("workload", "speech"),
        ("form", "script"),
        ("dialect", "ancient"),
        ("backend", "onnx"),
        ("device", "tpu"),
        ("device", "gpu:"),
        ("device", "cpu,gpu"),
    ],
)
def test_other_values_out_of_range(name: str, value: Any) -> None:
    """Every other option is checked too, and the message begins with its name."""
    with pytest.raises(UsageError, match=f"^{option(name)} "):
        RunConfig(**{name: value})


def test_limits_are_written_in_full() -> None:
    """A limit in a message is a number that can be typed, without an exponent."""
    with pytest.raises(UsageError, match=r"between 0\.001 and 2592000$"):
        RunConfig(duration_s=1e9)


@pytest.mark.parametrize("device", ["cpu", "CPU", "gpu", "gpu:0", "GPU:12"])
def test_devices(device: str) -> None:
    """Devices are written as RedisAI does, in any case."""
    assert RunConfig(device=device).device == device


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"duration_s": 1.0, "requests": 5}, "--duration and --requests"),
        ({"threads": 4, "connections": 3}, "--connections 3 is less than --threads 4"),
        ({"connections": 65536, "pipeline": 65536}, "in flight"),
        ({"cpus": (0,), "pin": False}, "--cpus and --no-pin"),
        ({"tls": TlsConfig()}, "redisais://, rests:// or …"),
    ],
)
def test_contradictions(values: dict[str, Any], words: str) -> None:
    """Options that exclude one another are refused together."""
    with pytest.raises(UsageError, match=words):
        RunConfig(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cert": Path("c")}, "--tls-cert and --tls-key belong together"),
        ({"key": Path("k")}, "--tls-cert and --tls-key belong together"),
        ({"insecure": True, "ca": Path("a")}, "--tls-insecure and --tls-ca"),
        ({"min_version": "1.1"}, "--tls-min-version '1.1': must be one of 1.2, 1.3"),
        ({"server_name": ""}, "--tls-server-name ''"),
        ({"server_name": "a b"}, "--tls-server-name 'a b'"),
    ],
)
def test_tls_options(values: dict[str, Any], words: str) -> None:
    """What TLS cannot do is refused by the name of its option."""
    with pytest.raises(UsageError, match=f"^{words}"):
        TlsConfig(**values)


def test_paths_of_tls_are_json() -> None:
    """Also files inside a nested configuration are written as text."""
    config = RunConfig(target="rediss://h", tls=TlsConfig(ca=Path("ca.pem")))

    assert json.loads(json.dumps(config.to_dict()))["tls"]["ca"] == "ca.pem"


def test_one_connection_per_thread_by_default() -> None:
    """Without a number of connections each thread has one."""
    assert RunConfig(threads=7).total_connections == 7
    assert RunConfig(threads=7, connections=9).total_connections == 9


def test_to_dict_is_json() -> None:
    """The configuration goes into the result as plain JSON, by the names of its fields."""
    config = RunConfig(dataset=Path("/data/d"), out=Path("o"), cpus=(1, 2), inputs=("a",))

    plain = json.loads(json.dumps(config.to_dict()))

    assert plain["dataset"] == "/data/d"
    assert plain["cpus"] == [1, 2]
    assert set(plain) == set(RunConfig.__dataclass_fields__)


def test_option_names() -> None:
    """Fields are named in messages as the command line names them."""
    assert option("duration_s") == "--duration"
    assert option("max_errors") == "--max-errors"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"headers": ("X: y",)}, "rest://"),
        ({"body": "json"}, "rest://"),
        ({"target": "rest://h", "body": "xml"}, "--body"),
        ({"target": "rest://h", "headers": ("no colon",)}, "Name: value"),
        ({"target": "rest://h", "headers": ("X: a\r\nY: b",)}, "Name: value"),
        ({"target": "rest://h", "headers": ("Content-length: 3",)}, "frames"),
        ({"target": "rest://h", "form": "dag"}, "--form"),
        ({"target": "rest://h", "server_batch": 2}, "--server-batch"),
        ({"target": "rest://h", "workload": "fraud"}, "--reference-from URL or --no-reference"),
        ({"target": "triton+http://h/m", "body": "multipart"}, "one of raw, json"),
        ({"target": "tfserving+grpc://h/m", "body": "json"}, "must be one of raw"),
        ({"target": "triton+grpc://h/m", "headers": ("no colon",)}, "Name: value"),
        ({"target": "triton+grpc://h/m", "headers": ("TE: y",)}, "makes a call of gRPC"),
        ({"target": "tfserving+grpc://h/m", "headers": ("Grpc-Timeout: 1S",)}, "makes a call"),
        ({"target": "redis://h", "headers": ("X: y",)}, "--header is for HTTP and gRPC"),
        ({"target": "triton+grpc://h/m", "form": "dag"}, "are for RedisAI"),
        (
            {"target": "rest://h", "headers": ("Inference-Header-Content-Length: 3",)},
            "frames",
        ),
    ],
)
def test_http_options(values: dict[str, Any], words: str) -> None:
    """What is not for HTTP, or would break a request, is refused by name."""
    with pytest.raises(UsageError, match=words):
        RunConfig(**values)


def test_secret_headers_are_hidden() -> None:
    """The configuration in a result shows no value of a field that may hold a secret."""
    headers = ("Authorization: Bearer s3cret", "X-API-Key: s3cret", "Cookie:s3cret", "X-Trace: on")

    shown = RunConfig(target="rest://h", headers=headers).to_dict()["headers"]

    assert "s3cret" not in str(shown)
    assert shown[-1] == "X-Trace: on"


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        ("Authorization: Bearer s3cret", {"Bearer s3cret", "s3cret"}),
        ("Authorization: Basic QTpiY2Q=", {"Basic QTpiY2Q=", "QTpiY2Q="}),
        ("X-API-Key: s3cret", {"s3cret"}),
        ("Cookie: id=s3cret; a=1", {"id=s3cret; a=1", "s3cret"}),
        ("X-Trace: s3cret", set()),
        ("X-Token:", set()),
    ],
)
def test_secrets_of_a_header(header: str, secrets: set[str]) -> None:
    """Besides its value, credentials after a scheme and values of cookies are secret alone."""
    assert secrets_of(header) == secrets
