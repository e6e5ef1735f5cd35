"""Does a server compute with a model what onnxruntime computes? One inference tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastbench import verification
from fastbench.config import check_tls
from fastbench.datasets.base import open_dataset
from fastbench.errors import ModelError, ServerError, UsageError
from fastbench.servers.connect import connect
from fastbench.servers.redisai import check_fit
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.config import TlsConfig
    from fastbench.models.base import Model
    from fastbench.servers.redisai import RedisAI
    from fastbench.targets import Target

SEED = 1


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
) -> Checked:
    """Store ``model`` in each server at ``url`` and check it with random input.

    ``key``: None = ``fastbench:`` and the model's name. ``tls``: how, where it is over TLS.
    Raises :class:`ModelError` when the server refuses it, or computes something else.
    """
    with connect(_lasting(url, tls), tls) as servers:
        return _worst(
            [
                _checked(server, model, server.load(model, device, key=key), None)
                for server in servers
            ]
        )


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
    with connect(_lasting(url, tls), tls) as servers:
        stored = key or f"fastbench:{model.name}"
        return _worst([_checked(server, model, stored, dataset) for server in servers])


def _lasting(url: str, tls: TlsConfig | None) -> Target:
    target = parse_target(url)
    check_tls(tls, url)
    if target.kind == "embedded":
        msg = f"target {url}: would end with this command; start 'fastbench serve' and give its URL"
        raise UsageError(msg)
    return target


def _worst(found: list[Checked]) -> Checked:
    """Return what is furthest from onnxruntime: of several servers, all must agree."""
    return max(found, key=lambda checked: checked.difference or 0.0)


def _checked(server: RedisAI, model: Model, key: str, dataset: Path | None) -> Checked:
    why_not = _why_not(server, model)
    if why_not:
        return Checked(key, None, why_not)
    batch = _random_input(model) if dataset is None else _first_row(model, dataset)
    try:
        answer = server.infer(key, batch)
    except ServerError as e:
        msg = f"{server.target.url}: one inference with the model under {key} failed: {e}"
        raise ModelError(msg) from e
    oracle = verification.make_oracle(model)
    return Checked(key, verification.check_first(model, oracle, batch, answer))


def _why_not(server: RedisAI, model: Model) -> str:
    if server.is_null_server:
        return "the null server computes nothing"
    if model.backend != "ONNX":
        return f"onnxruntime cannot run {model.backend}"
    (first, *others) = model.inputs
    if others or first.dtype != "float32" or first.shape is None:
        return "the model takes something other than one float32 tensor"
    return ""


def _random_input(model: Model) -> NDArray[np.float32]:
    """Return input in [0, 1); dimensions of any size are 1 long."""
    shape = [size or 1 for size in model.inputs[0].shape or ()]
    return np.random.default_rng(SEED).random(shape, dtype=np.float32)


def _first_row(model: Model, folder: Path) -> NDArray[np.float32]:
    dataset = open_dataset(folder)
    check_fit(model, dataset, 1)
    return np.ascontiguousarray(dataset.array()[:1])
