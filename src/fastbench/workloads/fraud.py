"""Card transactions through a model that also takes reference data, which the server holds."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import msgspec

from fastbench.datasets.fraud import open_fraud
from fastbench.datasets.sample import default_transactions
from fastbench.datasets.transactions import REFERENCE_VALUES
from fastbench.plan import FIELD_ROW, Expect, Fetched, Field
from fastbench.servers.redisai_messages import TRANSACTION_KEYS
from fastbench.servers.references import BLOBS, PREFIXES, TENSORS, ensure_references
from fastbench.servers.resp import command, message
from fastbench.targets import parse_target
from fastbench.workloads.fetches import reach, step_to
from fastbench.workloads.inference import Material, open_inference
from fastbench.workloads.over_grpc import open_calls
from fastbench.workloads.over_http import open_posting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.datasets.fraud import FraudDataset
    from fastbench.job import Job
    from fastbench.plan import Message
    from fastbench.servers.redisai import RedisAI

MODEL, MODEL_WITHOUT_REFERENCE = "fraud", "fraud_noreference"
REFERENCE_KEY = (f"{PREFIXES[TENSORS]}{{", Field(FIELD_ROW, 0), "}")


def open_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, load the model, and the reference data that the server does not hold."""
    dataset = _dataset(config)
    material = _material(config, dataset)
    if not config.reference:
        return open_inference(config, material)
    if config.reference_from:
        inference = open_inference(config, material)
        return _open_fetching(config, dataset, config.reference_from, inference, setting_reference)

    def prepare(server: RedisAI) -> dict[str, str]:
        return {"references": str(ensure_references(server, dataset.references, (TENSORS,)))}

    return open_inference(config, dataclasses.replace(material, prepare=prepare))


def open_http_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, and post it to a model that the server has; reference data by a chain."""
    return _open_served(config, open_posting)


def open_grpc_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, and call a model that the server has; reference data by a chain."""
    return _open_served(config, open_calls)


def _open_served(
    config: RunConfig, open_inferring: Callable[[RunConfig, Material], AbstractContextManager[Job]]
) -> AbstractContextManager[Job]:
    dataset = _dataset(config)
    inference = open_inferring(config, _material(config, dataset))
    if not config.reference_from:
        return inference
    return _open_fetching(config, dataset, config.reference_from, inference, lambda m: m)


def _dataset(config: RunConfig) -> FraudDataset:
    return open_fraud(config.dataset) if config.dataset else default_transactions()


def _material(config: RunConfig, dataset: FraudDataset) -> Material:
    if not config.reference:
        return Material(
            about=dataset,
            inputs=(dataset.transactions,),
            names=("transaction",),
            model=MODEL_WITHOUT_REFERENCE,
            keys=TRANSACTION_KEYS,
        )
    return Material(
        about=dataset,
        inputs=(dataset.transactions, dataset.references),
        names=("transaction", "reference"),
        model=MODEL,
        keys=TRANSACTION_KEYS._replace(reference=REFERENCE_KEY),
    )


@contextlib.contextmanager
def _open_fetching(
    config: RunConfig,
    dataset: FraudDataset,
    url: str,
    inference: AbstractContextManager[Job],
    with_fetched: Callable[[Message], Message],
) -> Iterator[Job]:
    """Make the job whose inferences first get their reference data from the server at ``url``.

    ``inference``: what follows, sending what was fetched as ``with_fetched`` changes its messages.
    """
    get = message([command("GET", (f"{PREFIXES[BLOBS]}{{", Field(FIELD_ROW, 0), "}"))], replies=1)
    with contextlib.ExitStack() as stack:
        holders = reach(config, parse_target(url), stack)
        found = [ensure_references(h, dataset.references, (BLOBS,)) for h in holders]
        step = step_to(holders, config, get, fetch_bytes=dataset.references.row_bytes)
        job = stack.enter_context(inference)
        said = {"references": str(found[0]), "fetched_from": step.target}
        yield dataclasses.replace(
            job,
            servers=(*job.servers, *(holder.watched() for holder in holders)),
            stream=dataclasses.replace(
                job.stream,
                before=(step,),
                messages=tuple(with_fetched(m) for m in job.stream.messages),
            ),
            target=msgspec.structs.replace(job.target, details=job.target.details | said),
        )


def setting_reference(inference: Message) -> Message:
    """Return ``inference`` with an AI.TENSORSET of the fetched reference before it."""
    dims = (1, REFERENCE_VALUES)
    first = command("AI.TENSORSET", REFERENCE_KEY, "FLOAT", *dims, "BLOB", Fetched(0))
    return dataclasses.replace(
        inference,
        parts=(*first, *inference.parts),
        replies=1 + inference.replies,
        expect=(Expect(b"+"), *inference.expect),
    )
