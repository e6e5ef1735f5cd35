"""MLServer: the Open Inference Protocol with numbers as text over HTTP, as either over gRPC."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from fastbench.local_servers.base import (
    HOST,
    ONNXRUNTIME,
    LocalServer,
    Place,
    get_json,
    model_urls,
    models_ready,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fastbench.models.base import Model, TensorSpec


class MLServer(LocalServer):
    """HTTP and gRPC by one process."""

    name: ClassVar = "mlserver"
    about: ClassVar = "MLServer 1.7.1, onnxruntime in its models"
    installs: ClassVar = (("mlserver==1.7.1", ONNXRUNTIME),)
    ports: ClassVar = ("http", "grpc", "metrics")

    def prepare(self, place: Place) -> list[str]:
        """Make a folder for each model and the settings."""
        settings: dict[str, Any] = {f"{name}_port": place.ports[name] for name in self.ports}
        settings |= {"host": HOST, "parallel_workers": 0, "debug": False}
        models = place.work / "models"
        models.mkdir()
        (models / "settings.json").write_text(json.dumps(settings))
        for model in place.models:
            _write_model(models / model.name, model)
        return [str(place.python.parent / "mlserver"), "start", str(models)]

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask for the readiness of the server and of each model."""
        get_json(ports["http"], "/v2/health/ready")
        return models_ready(ports["http"], "/v2/models/{}/ready")

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs over HTTP and gRPC."""
        return [
            *model_urls("triton+http", ports["http"]),
            *model_urls("triton+grpc", ports["grpc"]),
        ]


def _write_model(folder: Path, model: Model) -> None:
    folder.mkdir()
    described = {
        "name": model.name,
        "implementation": "mlserver_runtime.Served",
        "parameters": {"uri": str(model.path), "version": "1"},
        "inputs": _tensors(model.inputs),
        "outputs": _tensors(model.outputs),
    }
    (folder / "model-settings.json").write_text(json.dumps(described))


def _tensors(specs: Iterable[TensorSpec]) -> list[dict[str, Any]]:
    return [
        {"name": spec.name, "datatype": "FP32", "shape": [-1, *(spec.shape or ())[1:]]}
        for spec in specs
    ]
