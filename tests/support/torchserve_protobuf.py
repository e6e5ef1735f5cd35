"""The messages of TorchServe's gRPC API in protobuf's own library, as its inference.proto has them.

It stands in TorchServe's sources, frontend/server/src/main/resources/proto.
"""

from __future__ import annotations

from typing import Any

from support.protobuf_classes import classes

_CLASSES = classes(
    "fastbench_tests_torchserve",
    {
        "PredictionsRequest": ("1 model_name string", "2 model_version string", "3 input %bytes"),
        "PredictionResponse": ("1 prediction bytes",),
    },
)


def torch(kind: str, /, **fields: Any) -> Any:
    """Return a message of a kind."""
    return _CLASSES[kind](**fields)


def parsed(kind: str, data: bytes) -> Any:
    """Return the message of a kind in bytes. Raises where they are none."""
    return _CLASSES[kind].FromString(data)
