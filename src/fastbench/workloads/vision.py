"""Image classification: rows of a vision dataset through a model in the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.datasets.base import open_dataset
from fastbench.datasets.sample import default_sample
from fastbench.servers.redisai_messages import IMAGE_KEYS
from fastbench.workloads.inference import Material, open_inference

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.job import Job

MODEL = "mobilenet_v1_100_224"


def open_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, load the model into the server and check its first answer."""
    dataset = open_dataset(config.dataset) if config.dataset else default_sample()
    material = Material(about=dataset, inputs=(dataset,), model=MODEL, keys=IMAGE_KEYS)
    return open_inference(config, material)
