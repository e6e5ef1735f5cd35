"""Image classification: rows of a vision dataset through a model in the server."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from fastbench import verification
from fastbench._engine import populate
from fastbench.datasets.base import open_dataset
from fastbench.datasets.sample import default_sample
from fastbench.errors import UsageError
from fastbench.job import Job
from fastbench.models.loading import load_model
from fastbench.results import DatasetInfo
from fastbench.servers.connect import check_connections, connect, describe_all
from fastbench.servers.redisai import Loaded, RedisAI, check_fit
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastbench.config import RunConfig
    from fastbench.datasets.base import Dataset
    from fastbench.measured import Capture
    from fastbench.models.base import Model
    from fastbench.models.onnx_session import Oracle
    from fastbench.results import Verification


@contextlib.contextmanager
def open_job(config: RunConfig) -> Iterator[Job]:
    """Open the dataset, load the model into the server and check its first answer."""
    target = parse_target(config.target)
    dataset = open_dataset(config.dataset) if config.dataset else default_sample()
    model = load_model(config.model, config.backend, config.inputs, config.outputs)
    check_fit(model, dataset, config.batch)
    oracle = _oracle(config, model)
    check_connections(target, config.total_connections)
    with connect(target, config.tls) as servers:
        loaded, *_ = [load_and_check(s, config, model, dataset, oracle) for s in servers]
        server = servers[0]
        info = server.describe(model, config.device, loaded)
        before = _identity(dataset)
        yield Job(
            stream=dataclasses.replace(
                server.stream(config, dataset, loaded),
                addresses=tuple(s.address for s in servers),
            ),
            target=describe_all(info, target, servers),
            dataset=describe(dataset),
            server_pid=server.local_pid,
            metrics=None if server.is_null_server else lambda: server.metrics(loaded.key),
            verify=_verifier(config, dataset, oracle),
            problem=lambda: _changed(dataset, before),
        )


def load_and_check(
    server: RedisAI, config: RunConfig, model: Model, dataset: Dataset, oracle: Oracle | None
) -> Loaded:
    """Load the model and compare its first answer with onnxruntime's."""
    key = server.load(model, config.device)
    batch = np.ascontiguousarray(dataset.array()[: config.batch])
    answer = server.infer(key, batch)
    checkable = None if server.is_null_server else oracle
    found = verification.check_first(model, checkable, [batch], answer)
    if config.server_batch:  # only now: one inference alone could wait for others for ever
        server.load(
            model,
            config.device,
            key=key,
            batch=config.server_batch,
            min_batch=config.server_min_batch,
        )
    return Loaded(key, answer.nbytes, found)


def describe(dataset: Dataset) -> DatasetInfo:
    """Bring the dataset into memory and say what it is."""
    return DatasetInfo(
        path=str(dataset.path),
        rows=dataset.rows,
        shape=list(dataset.row_shape),
        dtype=dataset.dtype,
        synthetic=dataset.synthetic,
        sha256=dataset.sha256,
        description=dataset.description,
        bytes=dataset.rows * dataset.row_bytes,
        resident_bytes=populate(dataset.array().data),
    )


def _oracle(config: RunConfig, model: Model) -> Oracle | None:
    oracle = verification.make_oracle(model)
    if config.verify and oracle is None:
        msg = f"--verify: only ONNX models can be verified, {model.name} is {model.backend}"
        raise UsageError(msg)
    if config.verify and config.form == "execute":
        msg = "--verify: --form execute reads no answer back; use --form pipeline or dag"
        raise UsageError(msg)
    return oracle


def _verifier(
    config: RunConfig, dataset: Dataset, oracle: Oracle | None
) -> Callable[[list[Capture]], Verification] | None:
    if not config.verify or oracle is None:
        return None
    return lambda captures: verification.verify(
        captures, config.verify, dataset, config.batch, oracle
    )


def _identity(dataset: Dataset) -> tuple[int, int, int]:
    try:
        stat = dataset.data_path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _changed(dataset: Dataset, before: tuple[int, int, int]) -> str:
    if _identity(dataset) == before:
        return ""
    return f"the dataset {dataset.data_path} changed while it was used: run again"
