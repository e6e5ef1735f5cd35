"""What Triton's configuration of a model says of batches and instances.

Sources: Triton's extension model_configuration of the Open Inference Protocol, its
grpc_service.proto and model_config.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastbench.servers.protobuf import by_field, content, integers, number_in

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSION = "model_configuration"
#: ModelInstanceGroup.Kind
_KINDS = {1: "KIND_GPU", 2: "KIND_CPU", 3: "KIND_MODEL"}
_MAX_BATCH, _GROUPS, _BATCHING = 4, 7, 11  # of ModelConfig


class Batching(msgspec.Struct, frozen=True):
    """How the server gathers inferences into one run of the model."""

    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0


class Group(msgspec.Struct, frozen=True):
    """Instances of the model: ``count``, or as many on each of ``gpus``."""

    kind: str = "KIND_AUTO"
    count: int = 0
    gpus: tuple[int, ...] = ()


class ModelConfig(msgspec.Struct, frozen=True):
    """What matters of a configuration. ``max_batch_size`` 0: the server adds no batch dimension."""

    max_batch_size: int = 0
    dynamic_batching: Batching | None = None
    instance_group: tuple[Group, ...] = ()


def from_json(data: bytes) -> ModelConfig:
    """Read what ``GET /v2/models/MODEL/config`` tells. Raises :class:`msgspec.MsgspecError`."""
    return msgspec.json.decode(data, type=ModelConfig, strict=False)


def from_protobuf(reply: bytes) -> ModelConfig:
    """Read a ModelConfigResponse. Raises :class:`ProtocolError` where it is another."""
    config = by_field(b"".join(content(part) for part in by_field(reply).get(1, [])))
    batching = config.get(_BATCHING)
    return ModelConfig(
        max_batch_size=number_in(config, _MAX_BATCH),
        dynamic_batching=None if batching is None else _batching(content(batching[-1])),
        instance_group=tuple(_group(content(group)) for group in config.get(_GROUPS, [])),
    )


def in_words(config: ModelConfig) -> dict[str, str]:
    """Return what is configured in words, for the result; instances only where there are any."""
    batching = config.dynamic_batching
    said = {
        "max_batch_size": str(config.max_batch_size),
        "dynamic_batching": "off" if batching is None else ", ".join(_of_batching(batching)),
        "instances": ", ".join(_of_group(group) for group in config.instance_group),
    }
    return {name: words for name, words in said.items() if words}


def _batching(message: bytes) -> Batching:
    found = by_field(message)
    return Batching(_list(found, 1), number_in(found, 2))


def _group(message: bytes) -> Group:
    found = by_field(message)
    return Group(_KINDS.get(number_in(found, 4), "KIND_AUTO"), number_in(found, 2), _list(found, 3))


def _list(found: dict[int, list[int | bytes]], field: int) -> tuple[int, ...]:
    return tuple(number for value in found.get(field, []) for number in integers(value))


def _of_batching(batching: Batching) -> Iterator[str]:
    if batching.preferred_batch_size:
        yield f"preferred {' or '.join(map(str, batching.preferred_batch_size))}"
    yield f"queue delay at most {batching.max_queue_delay_microseconds:,} us"


def _of_group(group: Group) -> str:
    kind = group.kind.removeprefix("KIND_")
    which = f" {', '.join(map(str, group.gpus))}" if group.gpus else ""
    return f"{group.count} on {'each of ' * (len(group.gpus) > 1)}{kind}{which}"
