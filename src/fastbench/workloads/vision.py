"""Image classification: rows of a vision dataset through a model in the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.datasets.base import open_dataset
from fastbench.datasets.sample import default_sample
from fastbench.servers.redisai_messages import IMAGE_KEYS
from fastbench.workloads.inference import Material, open_inference
from fastbench.workloads.over_grpc import open_calls
from fastbench.workloads.over_http import open_posting

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fastbench.config import RunConfig
    from fastbench.job import Job

MODEL = "mobilenet_v1_100_224"


def open_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, load the model into the server and check its first answer."""
    return open_inference(config, _material(config))


def open_http_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, and post it to a model that the server has."""
    return open_posting(config, _material(config))


def open_grpc_job(config: RunConfig) -> AbstractContextManager[Job]:
    """Open the dataset, and call a model that the server has."""
    return open_calls(config, _material(config))


def _material(config: RunConfig) -> Material:
    dataset = open_dataset(config.dataset) if config.dataset else default_sample()
    return Material(
        about=dataset, inputs=(dataset,), names=("image",), model=MODEL, keys=IMAGE_KEYS
    )
