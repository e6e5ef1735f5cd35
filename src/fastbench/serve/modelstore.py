"""AI.MODELSTORE, AI.MODELSET and AI.MODELGET, apart from the keys they live under."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastbench.serve.backends import BACKENDS, Device, load, parse_device
from fastbench.serve.queues import Model
from fastbench.serve.resp import CommandError
from fastbench.serve.words import MISMATCH, Words, integer, upper

if TYPE_CHECKING:
    from fastbench.serve.resp import Reply

MODEL_CHUNK_BYTES = 535_822_336
BATCH_OPTIONS = ("BATCHSIZE", "MINBATCHSIZE", "MINBATCHTIMEOUT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A model as a client described it, before it is loaded."""

    backend: str
    device: Device
    tag: bytes
    batch: tuple[int, int, int]  # BATCHSIZE, MINBATCHSIZE, MINBATCHTIMEOUT
    blob: bytes = b""

    def load(self, threads: int) -> Model:
        """Load the model; takes as long as the backend needs. May raise CommandError."""
        size, minimum, timeout_ms = self.batch
        return Model(
            backend=self.backend,
            device=self.device,
            tag=self.tag,
            batch_size=size,
            min_batch_size=minimum,
            min_batch_timeout_ms=timeout_ms,
            blob=self.blob,
            executable=load(self.backend, self.device, self.blob, threads),
        )


def parse_recipe(words: Words, *, legacy: bool) -> Recipe:
    """Read what follows the key: ``backend device [TAG t] [BATCHSIZE ...] ... BLOB chunk ...``.

    ``legacy``: AI.MODELSET, where the names of inputs and outputs are not counted.
    """
    backend = upper(words.take())
    if backend not in BACKENDS:
        msg = "ERR unsupported backend"
        raise CommandError(msg)
    device = parse_device(words.key().decode("latin-1"))
    tag = words.key() if words.skip("TAG") and len(words) else b""
    recipe = Recipe(backend=backend, device=device, tag=tag, batch=_parse_batch(words))
    names = _legacy_names if legacy else _counted_names
    for option in ("INPUTS", "OUTPUTS"):
        names(words, option, backend)
    return replace(recipe, blob=_parse_blob(words))


def _parse_batch(words: Words) -> tuple[int, int, int]:
    values = []
    for option in BATCH_OPTIONS:
        given = words.skip(option)
        error = f"ERR Invalid argument for {option}"
        values.append(words.integer(error, low=0) if given else 0)
    size, minimum, timeout_ms = values
    if minimum and not size:
        msg = "ERR MINBATCHSIZE specified without BATCHSIZE"
        raise CommandError(msg)
    if timeout_ms and not minimum:
        msg = "ERR MINBATCHTIMEOUT specified without MINBATCHSIZE"
        raise CommandError(msg)
    return size, minimum, timeout_ms


def _counted_names(words: Words, option: str, backend: str) -> None:
    given = words.skip(option)
    if given != (backend == "TF"):
        problem = "argument should not be specified for this backend"
        msg = f"ERR {option} {problem}" if given else f"ERR {option} not specified for TF"
        raise CommandError(msg)
    if not given:
        return
    words.counted(
        f"ERR Invalid argument for {option[:-1].lower()}_count",
        f"ERR number of model {option.lower()} {MISMATCH}",
        low=0,
    )


def _legacy_names(words: Words, option: str, backend: str) -> None:
    """Skip the names, which end at the next keyword; only TF would have used them."""
    if not words.skip(option):
        if backend == "TF":
            msg = f"ERR {option} not specified for TF"
            raise CommandError(msg)
        return
    while len(words) and words.keyword() not in ("OUTPUTS", "BLOB"):
        words.take()


def _parse_blob(words: Words) -> bytes:
    if len(words) and not words.skip("BLOB"):
        msg = "ERR Invalid argument, expected BLOB"
        raise CommandError(msg)
    if not len(words):
        msg = "ERR Insufficient arguments, missing model BLOB"
        raise CommandError(msg)
    return b"".join(words.rest())


def show_model(model: Model, words: Words, chunk_bytes: int) -> Reply:
    """Return the reply of AI.MODELGET for the words after the key."""
    asked = {upper(word) for word in words.rest()}
    blob = _chunked(model.blob, chunk_bytes)
    if asked == {"BLOB"}:
        return blob
    reply: list[Reply] = [
        *(b"backend", model.backend.encode()),
        *(b"device", model.device.text.encode()),
        *(b"tag", model.tag),
        *(b"batchsize", model.batch_size),
        *(b"minbatchsize", model.min_batch_size),
        *(b"inputs", _encoded(model.executable.inputs)),
        *(b"outputs", _encoded(model.executable.outputs)),
        *(b"minbatchtimeout", model.min_batch_timeout_ms),
    ]
    return reply if asked == {"META"} else [*reply, b"blob", blob]


def _encoded(names: tuple[str, ...]) -> Reply:
    return [name.encode() for name in names]


def _chunked(blob: bytes, chunk_bytes: int) -> Reply:
    if len(blob) <= chunk_bytes:
        return blob
    return [blob[at : at + chunk_bytes] for at in range(0, len(blob) + 1, chunk_bytes)]


def parse_chunk_size(words: Words) -> int:
    """Read the value of ``AI.CONFIG MODEL_CHUNK_SIZE``, bytes."""
    if not len(words):
        msg = "ERR MODEL_CHUNK_SIZE: missing chunk size"
        raise CommandError(msg)
    value = integer(words.take())
    if value is None or value <= 0:
        msg = "ERR MODEL_CHUNK_SIZE: invalid chunk size"
        raise CommandError(msg)
    return value
