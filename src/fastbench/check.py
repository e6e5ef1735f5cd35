"""Does a server compute with a model what onnxruntime computes? One inference tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench import verification
from fastbench.datasets.base import open_dataset
from fastbench.datasets.fraud import open_fraud
from fastbench.datasets.manifest import kind_of
from fastbench.errors import ModelError, ServerError
from fastbench.models.inputs import random_inputs
from fastbench.servers.connect import connect, lasting
from fastbench.servers.fit import check_fit
from fastbench.servers.redisai import DTYPES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.config import TlsConfig
    from fastbench.datasets.rows import Rows
    from fastbench.models.base import Model
    from fastbench.servers.redisai import RedisAI


@dataclass(frozen=True, slots=True)
class Checked:
    """A model in a server, under ``key``.

    ``difference``: from onnxruntime's answer, as :func:`fastbench.verification.difference` has it;
    None = not compared, ``why_not`` says why.
    """

    key: str
    difference: float | None
    why_not: str = ""

    def __str__(self) -> str:
        """Say what was found."""
        if self.difference is None:
            return f"not compared with onnxruntime: {self.why_not}"
        return (
            f"one inference agrees with onnxruntime: largest difference {self.difference:.1e}, "
            f"allowed {verification.TOLERANCE:.1e}"
        )


def load(
    url: str,
    model: Model,
    device: str = "cpu",
    key: str | None = None,
    tls: TlsConfig | None = None,
    **storing: Any,
) -> Checked:
    """Store ``model`` in each server at ``url`` and check it with random input.

    ``key``: None = ``fastbench:`` and the model's name. ``tls``: how, where it is over TLS.
    ``storing``: further arguments of :meth:`fastbench.servers.redisai.RedisAI.load`.
    Raises :class:`ModelError` when the server refuses it, or computes something else.
    """
    with connect(lasting(url, tls), tls) as servers:
        return _worst([_loaded(server, model, device, key, storing) for server in servers])


def check(
    url: str,
    model: Model,
    key: str | None = None,
    dataset: Path | None = None,
    tls: TlsConfig | None = None,
) -> Checked:
    """Check what each server at ``url`` has stored under ``key`` against the file of ``model``.

    ``dataset``: its first row is the input; None = random input. ``tls``: how, where it is over
    TLS.
    Raises :class:`ModelError` when nothing is stored there, or it computes something else.
    """
    with connect(lasting(url, tls), tls) as servers:
        stored = key or f"fastbench:{model.name}"
        return _worst([_checked(server, model, stored, dataset) for server in servers])


def _loaded(
    server: RedisAI, model: Model, device: str, key: str | None, storing: dict[str, Any]
) -> Checked:
    patient = {name: value for name, value in storing.items() if not name.startswith("min_batch")}
    waits = storing.get("min_batch") and storing.get("batch")
    checked = _checked(
        server, model, server.load(model, device, key=key, **(patient if waits else storing)), None
    )
    if waits:  # only now: one inference alone could wait for others for ever
        server.load(model, device, key=key, **storing)
    return checked


def _worst(found: list[Checked]) -> Checked:
    """Return what is furthest from onnxruntime: of several servers, all must agree."""
    return max(found, key=lambda checked: checked.difference or 0.0)


def _checked(server: RedisAI, model: Model, key: str, dataset: Path | None) -> Checked:
    why_not = _why_not(server, model)
    if why_not:
        return Checked(key, None, why_not)
    inputs = random_inputs(model) if dataset is None else _first_row(model, dataset)
    try:
        answer = server.infer(key, *inputs, outputs=len(model.outputs))
    except ServerError as e:
        msg = f"{server.target.url}: one inference with the model under {key} failed: {e}"
        raise ModelError(msg) from e
    oracle = verification.make_oracle(model)
    return Checked(key, verification.check_first(model, oracle, inputs, answer))


def _why_not(server: RedisAI, model: Model) -> str:
    if server.is_null_server:
        return "the null server computes nothing"
    if model.backend != "ONNX":
        return f"onnxruntime cannot run {model.backend}"
    if any(spec.dtype not in DTYPES or spec.shape is None for spec in model.inputs):
        return "the model takes tensors of a type or shape that is not known here"
    return ""


def _first_row(model: Model, folder: Path) -> list[NDArray[np.float32]]:
    inputs = _inputs(model, folder)
    check_fit(model, inputs, 1, folder)
    return [np.ascontiguousarray(rows.array()[:1]) for rows in inputs]


def _inputs(model: Model, folder: Path) -> list[Rows]:
    """Return the rows of each input: of a fraud dataset as many arrays as the model takes."""
    if kind_of(folder) == "vision":
        return [open_dataset(folder)]
    dataset = open_fraud(folder)
    return [dataset.transactions, dataset.references][: len(model.inputs)]
