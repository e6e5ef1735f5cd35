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

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    dataset = open_fraud(config.dataset) if config.dataset else default_transactions()
    if not config.reference:
        material = Material(
            about=dataset,
            inputs=(dataset.transactions,),
            model=MODEL_WITHOUT_REFERENCE,
            keys=TRANSACTION_KEYS,
        )
        return open_inference(config, material)
    if config.reference_from:
        return _open_fetching(config, dataset, config.reference_from)

    def prepare(server: RedisAI) -> dict[str, str]:
        return {"references": str(ensure_references(server, dataset.references, (TENSORS,)))}

    return open_inference(config, dataclasses.replace(_with_reference(dataset), prepare=prepare))


def _with_reference(dataset: FraudDataset) -> Material:
    return Material(
        about=dataset,
        inputs=(dataset.transactions, dataset.references),
        model=MODEL,
        keys=TRANSACTION_KEYS._replace(reference=REFERENCE_KEY),
    )


@contextlib.contextmanager
def _open_fetching(config: RunConfig, dataset: FraudDataset, url: str) -> Iterator[Job]:
    """Make the job whose inferences first get their reference data from the server at ``url``."""
    get = message([command("GET", (f"{PREFIXES[BLOBS]}{{", Field(FIELD_ROW, 0), "}"))], replies=1)
    with contextlib.ExitStack() as stack:
        holders = reach(config, parse_target(url), stack)
        found = [ensure_references(h, dataset.references, (BLOBS,)) for h in holders]
        step = step_to(holders, config, get, fetch_bytes=dataset.references.row_bytes)
        job = stack.enter_context(open_inference(config, _with_reference(dataset)))
        said = {"references": str(found[0]), "fetched_from": step.target}
        yield dataclasses.replace(
            job,
            servers=(*job.servers, *(holder.watched() for holder in holders)),
            stream=dataclasses.replace(
                job.stream,
                before=(step,),
                messages=tuple(setting_reference(m) for m in job.stream.messages),
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
