"""Card transactions through a model that also takes reference data, which the server holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.datasets.fraud import open_fraud
from fastbench.datasets.sample import default_transactions
from fastbench.plan import FIELD_ROW, Field
from fastbench.servers.redisai_messages import TRANSACTION_KEYS
from fastbench.servers.references import PREFIXES, TENSORS, ensure_references
from fastbench.workloads.inference import Material, open_inference

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.job import Job
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

    def prepare(server: RedisAI) -> dict[str, str]:
        return {"references": str(ensure_references(server, dataset.references, (TENSORS,)))}

    material = Material(
        about=dataset,
        inputs=(dataset.transactions, dataset.references),
        model=MODEL,
        keys=TRANSACTION_KEYS._replace(reference=REFERENCE_KEY),
        prepare=prepare,
    )
    return open_inference(config, material)
