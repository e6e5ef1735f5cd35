"""A small dataset, a small model and a server that holds them, made once for all tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.realservers import start, stopping

from fastbench.datasets.fraud import FraudConfig, build_fraud
from fastbench.datasets.vision import VisionConfig, build
from fastbench.models.builtin import build_file
from fastbench.servers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.realservers import Urls

SAMPLE_ROWS = 8


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of eight synthetic images."""
    folder = tmp_path_factory.mktemp("dataset") / "sample"
    build(VisionConfig(out=folder, sample=SAMPLE_ROWS, workers=1))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that averages the colours of an image: input of full size, next to no work."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    build_file("mean_rgb_224", path)
    return path


@pytest.fixture(scope="module")
def ai_server() -> Iterator[EmbeddedServer]:
    """Return an embedded server on TCP that the tests of a module share."""
    with EmbeddedServer(options=("--intra-op", "1")) as server:
        yield server


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 50 transactions with their reference data."""
    return build_fraud(FraudConfig(out=tmp_path_factory.mktemp("cards") / "set", sample=50)).path


@pytest.fixture(scope="module")
def reference() -> Iterator[str]:
    """Start a real Valkey for reference data; return its URL."""
    with stopping("valkey"):
        yield from start("valkey").values()


@pytest.fixture(scope="module")
def starting(request: pytest.FixtureRequest) -> Iterator[Callable[[], Urls]]:
    """Return what starts the ``SERVER`` of a module where it does not run; stopped at last."""
    name = request.module.SERVER
    with stopping(name):
        yield lambda: start(name)


@pytest.fixture
def urls(starting: Callable[[], Urls]) -> Urls:
    """Return the targets of the ``SERVER`` of a module, which runs."""
    return starting()
