"""What workloads with a model share: it is loaded, its first answer checked, replies verified."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from fastbench import verification
from fastbench._engine import populate
from fastbench.errors import UsageError
from fastbench.job import Job
from fastbench.models.loading import load_model
from fastbench.models.script import read_script
from fastbench.results import DatasetInfo
from fastbench.servers.connect import check_connections, connect, describe_all
from fastbench.servers.fit import check_fit
from fastbench.servers.model_keys import keys_of
from fastbench.servers.redisai import Loaded, RedisAI, make_inference
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.config import RunConfig
    from fastbench.datasets.rows import Rows
    from fastbench.measured import Capture
    from fastbench.models.base import Model
    from fastbench.models.onnx_session import Oracle
    from fastbench.results import Verification
    from fastbench.servers.redisai_messages import Keys


class About(Protocol):
    """What a dataset says of itself."""

    @property
    def path(self) -> Path:
        """Its folder."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether it was generated."""
        ...

    @property
    def sha256(self) -> str:
        """Identity of its content."""
        ...

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        ...


def _nothing(_: RedisAI) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a workload sends, and under which names.

    ``inputs``: rows for each input of the model, in its order; the first are sent in turn.
    ``names``: what the inputs are called where the server does not say, e.g. as parts of a form.
    ``model``: the one of a configuration that names none. ``prepare``: makes a server hold
    what an inference needs besides the model, and returns what the result is to say of that.
    """

    about: About
    inputs: tuple[Rows, ...]
    names: tuple[str, ...]
    model: str
    keys: Keys
    prepare: Callable[[RedisAI], dict[str, str]] = _nothing


@contextlib.contextmanager
def open_inference(config: RunConfig, material: Material) -> Iterator[Job]:
    """Load the model into the servers, check the first answer of each, and make the job."""
    target = parse_target(config.target)
    model = load_model(
        config.model or material.model, config.backend, config.inputs, config.outputs
    )
    check_fit(model, material.inputs, config.batch, material.about.path)
    oracle = oracle_of(config, model)
    check_connections(target, config.total_connections)
    with connect(target, config.tls) as servers:
        loaded, *_ = [_load_and_check(s, config, model, material, oracle) for s in servers]
        prepared, *_ = [{} if s.is_null_server else material.prepare(s) for s in servers]
        server = servers[0]
        info = server.describe(model, config.device, loaded)
        stored = _with_keys(loaded, config.models)
        info = msgspec.structs.replace(info, details=info.details | stored | prepared)
        told_of = (loaded.key,) if config.models == 1 else ()  # one question for each is too many
        before = identity(material)
        yield Job(
            stream=dataclasses.replace(
                server.stream(config, material.inputs[0], loaded, material.keys),
                addresses=tuple(s.address for s in servers),
            ),
            target=describe_all(info, target, servers),
            dataset=describe(material.about, material.inputs[0]),
            servers=tuple(s.watched(*told_of) for s in servers),
            verify=_verifier(config, material, oracle),
            problem=lambda: changed(material, before),
        )


def _load_and_check(
    server: RedisAI, config: RunConfig, model: Model, material: Material, oracle: Oracle | None
) -> Loaded:
    """Load the model under each of its keys and compare the first answers with onnxruntime's."""
    inputs = [np.ascontiguousarray(rows.array()[: config.batch]) for rows in material.inputs]
    checkable = None if server.is_null_server else oracle
    expected = checkable.run(inputs)[0] if checkable else None
    base = f"fastbench:{model.name}"
    found, output_bytes = [], 0
    for key in keys_of(base, config.models):
        answer = _load(server, config, model, key, inputs)
        output_bytes = answer.nbytes
        found.append(verification.check_answer(model, expected, answer))
    worst = max((f for f in found if f is not None), default=None)
    loaded = Loaded(base, output_bytes, worst)
    return _with_script(server, config, material, inputs, loaded)


def _load(
    server: RedisAI, config: RunConfig, model: Model, key: str, inputs: list[NDArray[Any]]
) -> NDArray[Any]:
    """Load the model under one key and return its first answer."""
    server.load(model, config.device, key=key)
    answer = server.infer(key, *inputs)
    if config.server_batch:  # only now: one inference alone could wait for others for ever
        server.load(
            model,
            config.device,
            key=key,
            batch=config.server_batch,
            min_batch=config.server_min_batch,
            min_batch_timeout_ms=config.server_min_batch_timeout_ms,
        )
    return answer


def _with_keys(loaded: Loaded, models: int) -> dict[str, str]:
    """Say under how many keys the model is stored, where there are several."""
    if models == 1:
        return {}
    first, *_, last = keys_of(loaded.key, models)
    return {"models": f"{models} keys, {first} to {last}, in turn"}


def _with_script(
    server: RedisAI,
    config: RunConfig,
    material: Material,
    inputs: list[NDArray[Any]],
    loaded: Loaded,
) -> Loaded:
    """Store the script around the model and run both once; the answer is the script's then."""
    if config.script is None:
        return loaded
    script = server.store_script(read_script(config.script), config.device, config.dialect)
    loaded = dataclasses.replace(loaded, script=script)
    inference = make_inference(config, material.inputs[0], loaded, material.keys)
    first, *_ = keys_of(loaded.key, config.models)
    inference = dataclasses.replace(inference, model_key=first)
    return dataclasses.replace(loaded, output_bytes=server.rehearse(inference, inputs))


def describe(about: About, first: Rows, *others: Rows) -> DatasetInfo:
    """Bring the rows that are sent into memory and say what they are.

    ``others``: sent beside the first, as many and of the same type; the shape of a row is then
    the number of values of them all.
    """
    sent = (first, *others)
    values = [sum(math.prod(rows.row_shape) for rows in sent)]
    return DatasetInfo(
        path=str(about.path),
        rows=first.rows,
        shape=values if others else list(first.row_shape),
        dtype=first.dtype,
        synthetic=about.synthetic,
        sha256=about.sha256,
        description=about.description,
        bytes=sum(rows.rows * rows.row_bytes for rows in sent),
        resident_bytes=sum(populate(rows.array().data) for rows in sent),
    )


def oracle_of(config: RunConfig, model: Model) -> Oracle | None:
    """Return what knows the right answers of ``model``; None where nothing does.

    Raises :class:`UsageError` where answers are to be verified and cannot be.
    """
    oracle = verification.make_oracle(model)
    if config.verify and oracle is None:
        msg = f"--verify: only ONNX models can be verified, {model.name} is {model.backend}"
        raise UsageError(msg)
    return oracle


def _verifier(
    config: RunConfig, material: Material, oracle: Oracle | None
) -> Callable[[list[Capture]], Verification] | None:
    if not config.verify or oracle is None:
        return None
    expected = verification.Expected(oracle, material.inputs, config.batch)
    return lambda captures: verification.verify(captures, config.verify, expected)


def identity(material: Material) -> list[tuple[int, int, int]]:
    """Return what changes when somebody else writes to the files of a dataset."""
    return [_identity_of(rows.data_path) for rows in material.inputs]


def _identity_of(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def changed(material: Material, before: list[tuple[int, int, int]]) -> str:
    """Say which file is not what it was ``before``; nothing where all are."""
    now = identity(material)
    for rows, old, new in zip(material.inputs, before, now, strict=True):
        if old != new:
            return f"the dataset {rows.data_path} changed while it was used: run again"
    return ""
