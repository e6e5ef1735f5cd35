"""A model's configuration as Triton tells it, as JSON and as protobuf's own library writes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.oip_protobuf import oip

from fastbench.servers.triton_config import (
    Batching,
    Group,
    ModelConfig,
    from_json,
    from_protobuf,
    in_words,
)

GATHERING = ModelConfig(8, Batching((4, 8), 100), (Group("KIND_CPU", 2),))
PLAIN = ModelConfig()
ON_GPUS = ModelConfig(
    1, Batching(), (Group("KIND_GPU", 1, (0, 1)), Group("KIND_MODEL", 3), Group("KIND_AUTO", 1))
)
#: As Triton 2.51 answers, some of what is not read among it.
TOLD: list[tuple[dict[str, Any], ModelConfig]] = [
    (
        {
            "name": "m",
            "max_batch_size": 8,
            "optimization": {"priority": "PRIORITY_DEFAULT"},
            "dynamic_batching": {
                "preferred_batch_size": [4, 8],
                "max_queue_delay_microseconds": 100,
                "preserve_ordering": False,
            },
            "instance_group": [{"name": "m_0", "kind": "KIND_CPU", "count": 2, "gpus": []}],
        },
        GATHERING,
    ),
    ({"name": "m", "max_batch_size": 0}, PLAIN),
    (
        {
            "max_batch_size": 1,
            "dynamic_batching": {"max_queue_delay_microseconds": "0"},
            "instance_group": [
                {"kind": "KIND_GPU", "count": 1, "gpus": [0, 1]},
                {"kind": "KIND_MODEL", "count": 3},
                {"kind": "KIND_AUTO", "count": 1},
            ],
        },
        ON_GPUS,
    ),
]
KINDS = {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3}


@pytest.mark.parametrize(("told", "config"), TOLD)
def test_json(told: dict[str, Any], config: ModelConfig) -> None:
    """What matters is read, all else is passed over."""
    assert from_json(json.dumps(told).encode()) == config


@pytest.mark.parametrize(("told", "config"), TOLD)
def test_protobuf(told: dict[str, Any], config: ModelConfig) -> None:
    """The same from the message, whose kinds are numbers."""
    batching = told.get("dynamic_batching")
    message: dict[str, Any] = {
        "name": "m",
        "max_batch_size": told["max_batch_size"],
        "instance_group": [
            {
                "name": "group",
                "count": group["count"],
                "gpus": group.get("gpus", []),
                "kind": KINDS[group["kind"]],
            }
            for group in told.get("instance_group", [])
        ],
    }
    if batching is not None:
        delay = int(batching["max_queue_delay_microseconds"])
        message["dynamic_batching"] = oip(
            "DynamicBatching",
            preferred_batch_size=batching.get("preferred_batch_size", []),
            max_queue_delay_microseconds=delay,
        )
    reply = oip("ModelConfigResponse", config=message).SerializeToString()

    assert from_protobuf(reply) == config


def test_words() -> None:
    """The result says it in words that need no knowledge of the configuration's syntax."""
    assert in_words(GATHERING) == {
        "max_batch_size": "8",
        "dynamic_batching": "preferred 4 or 8, queue delay at most 100 us",
        "instances": "2 on CPU",
    }
    assert in_words(PLAIN) == {"max_batch_size": "0", "dynamic_batching": "off"}
    assert in_words(ON_GPUS)["instances"] == "1 on each of GPU 0, 1, 3 on MODEL, 1 on AUTO"
    assert in_words(ON_GPUS)["dynamic_batching"] == "queue delay at most 0 us"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"max_batch_size":"many"}'])
def test_what_is_no_configuration(data: bytes) -> None:
    """Another answer is no configuration, and raises what the caller takes for "not told"."""
    with pytest.raises(msgspec.MsgspecError):
        from_json(data)
