"""What workloads share whose model is in the server already: how rows are sent, and checked."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

from fastbench import verification
from fastbench.errors import UsageError
from fastbench.local_servers.state import holds_random_models
from fastbench.models.loading import load_model
from fastbench.plan import FORM_BLANKS, FORM_VARINT, Fetched, Field, Payload, Text
from fastbench.servers.fit import check_fit
from fastbench.servers.http_messages import Sent
from fastbench.servers.protobuf import varint
from fastbench.servers.shared_memory import shared
from fastbench.servers.shared_outputs import Outputs, layout_of
from fastbench.workloads.inference import oracle_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.measured import Capture
    from fastbench.models.base import Model, TensorSpec
    from fastbench.models.onnx_session import Oracle
    from fastbench.plan import Data
    from fastbench.results import Verification
    from fastbench.servers.dialect import Served
    from fastbench.servers.http_messages import Body
    from fastbench.servers.shared_memory import Registrar
    from fastbench.workloads.inference import Material


def arranged(takes: Sequence[TensorSpec], names: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model in the order of ``names``, where they are called so."""
    by_name = {spec.name: spec for spec in takes}
    return tuple(by_name[name] for name in names) if set(by_name) == set(names) else tuple(takes)


def sent_as(config: RunConfig, material: Material, served: Served) -> list[Sent]:
    """Return how each input is sent: rows of the dataset, then what the chain got.

    Raises :class:`UsageError` where names are given for another number of inputs.
    """
    names = [s.name for s in served.takes] or config.inputs or material.names
    if len(names) != len(material.inputs):
        msg = f"--input {' '.join(names)}: an inference has {len(material.inputs)} inputs"
        raise UsageError(msg)
    return [
        Sent(
            name=name,
            shape=(config.batch, *rows.row_shape),
            dtype=rows.dtype,
            part=Fetched(i - 1) if i else Payload(config.batch),
            length=config.batch * rows.row_bytes,
        )
        for i, (name, rows) in enumerate(zip(names, material.inputs, strict=True))
    ]


def first_body(body: Body, data: Data, material: Material) -> bytes:
    """Return the body of the first inference."""
    fd = os.dup(data.path) if isinstance(data.path, int) else os.open(data.path, os.O_RDONLY)
    try:
        found = b""
        for part in body.parts:
            if isinstance(part, Text):
                found += part.data
            elif isinstance(part, Payload):
                found += os.pread(fd, part.rows * data.row_bytes, data.offset)
            elif isinstance(part, Field):
                found += _of_row_0(part)
            elif isinstance(part, Fetched):
                found += material.inputs[part.step + 1].array()[0].tobytes()
        return found
    finally:
        os.close(fd)


@contextlib.contextmanager
def placing(
    config: RunConfig,
    material: Material,
    sent: Sent,
    served: Served,
    controls: Sequence[Registrar],
) -> Iterator[Outputs]:
    """Put the rows into shared memory, where there are places for outputs too."""
    rows = material.inputs[0]
    layout = layout_of(served, rows, config.batch)
    with shared(rows, controls, layout.room) as memory:
        yield Outputs(sent.name, layout, memory)


def _of_row_0(field: Field) -> bytes:
    """Return a field as the engine writes it for the first row."""
    if field.form == FORM_VARINT:
        return varint(field.base, field.width)
    filler = " " if field.form == FORM_BLANKS else "0"
    return str(field.base).rjust(field.width, filler).encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """What comparing the first answers with those of a model in onnxruntime has shown.

    ``oracle``: knows the right answers. ``difference``: the largest; ``model``: None = the answers
    were not compared.
    """

    oracle: Oracle | None = None
    difference: float | None = None
    model: Model | None = None

    @property
    def details(self) -> dict[str, str]:
        """For the result: the name of the model."""
        return {"compared_with": self.model.name} if self.model else {}

    def random_weights(self, target: str) -> bool | None:
        """Return whether the weights of the model at ``target`` are random; None = not known.

        It is known where the model answers as one whose weights are known, or where ``fastbench
        servers`` started the server.
        """
        if self.model is not None and self.difference is not None:
            return self.model.random_weights
        return True if holds_random_models(target) else None


def check_answers(
    config: RunConfig, material: Material, answers: Sequence[NDArray[np.float32]]
) -> Compared:
    """Compare the first answers with the model's, where answers are to be verified.

    Raises :class:`ModelError` where there is no such model, or an answer is wrong.
    """
    if not config.verify:
        if config.model is not None:  # a mistyped name is one also where nothing is verified
            load_model(config.model, config.backend)
        return Compared()
    inputs = material.inputs
    model = load_model(config.model or material.model, config.backend)
    check_fit(model, inputs, config.batch, material.about.path)
    oracle = oracle_of(config, model)
    rows = [i.array()[: config.batch] for i in inputs]
    found = [verification.check_first(model, oracle, rows, answer) for answer in answers]
    worst = max((f for f in found if f is not None), default=None)
    return Compared(oracle, worst, model)


def verifier(
    config: RunConfig,
    material: Material,
    oracle: Oracle | None,
    tensor_of: Callable[[Capture], NDArray[np.float32]],
    each: int = 1,
) -> Callable[[list[Capture]], Verification] | None:
    """Return what compares kept replies with the oracle's answers; None without an oracle.

    ``tensor_of``: finds the answer in a kept reply. ``each``: rows of the dataset in one of the
    data that are sent.
    """
    if oracle is None:
        return None
    expected = verification.Expected(oracle, material.inputs, config.batch)

    def verify(captures: list[Capture]) -> Verification:
        kept = [dataclasses.replace(c, row=c.row * each) for c in captures]
        return verification.verify(kept, config.verify, expected, tensor_of)

    return verify
