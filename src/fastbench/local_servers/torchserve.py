"""TorchServe: its Java frontend and Python workers, with a handler that runs onnxruntime."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING, ClassVar

from fastbench.errors import LocalServerError
from fastbench.local_servers.base import (
    FILES,
    HOST,
    MODELS,
    ONNXRUNTIME,
    LocalServer,
    Place,
    get_json,
    model_urls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fastbench.models.base import Model

#: As it names them itself, and the value for each port.
ADDRESSES = {
    "inference_address": "http://{host}:{http}",
    "management_address": "http://{host}:{management}",
    "metrics_address": "http://{host}:{metrics}",
    "grpc_inference_address": "{host}",
    "grpc_inference_port": "{grpc}",
    "grpc_management_address": "{host}",
    "grpc_management_port": "{grpc-management}",
}
#: One worker for each model. Three images as JSON are longer than its usual limit of 6.5 MB.
SETTINGS = {
    "load_models": "all",
    "default_workers_per_model": "1",
    "disable_token_authorization": "true",
    "disable_system_metrics": "true",
    "enable_model_api": "true",
    "max_request_size": "100000000",
    "max_response_size": "100000000",
}

SOCKET, LONGEST_PATH = ".ts.sock.9000.12345", 107  # unix(7)


class TorchServe(LocalServer):
    """Inference and management over HTTP and gRPC."""

    name: ClassVar = "torchserve"
    about: ClassVar = "TorchServe 0.12.0, onnxruntime in its handler (PyTorch is not installed)"
    installs: ClassVar = (
        ("--no-deps", "torchserve==0.12.0"),
        ("pyyaml==6.0.3", "psutil==7.1.3", "packaging==25.0", ONNXRUNTIME),
    )
    ports: ClassVar = ("http", "management", "metrics", "grpc", "grpc-management")

    def missing(self) -> str | None:
        """Look for Java."""
        if shutil.which("java") is None:
            return "its frontend needs Java: apt-get install default-jre-headless"
        return None

    def prepare(self, place: Place) -> list[str]:
        """Make the archives of the models and the configuration."""
        _check_length(place.work)
        store, settings = place.work / "store", place.work / "config.properties"
        store.mkdir()
        for model in place.models:
            write_archive(store / f"{model.name}.mar", model)
        settings.write_text(configuration(place.ports))
        shutil.copy(FILES / "no_torch.py", place.work / "torch.py")
        words = [str(place.python), "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
        return [*words, "--ts-config", str(settings), "--model-store", str(store)]

    def environment(self, place: Place) -> dict[str, str]:
        """Return where it writes; its workers find ``torch`` and their handler's module."""
        logs, temporary = str(place.work / "logs"), str(place.work / "tmp")
        places = {"LOG_LOCATION": logs, "METRICS_LOCATION": logs, "TEMP": temporary}
        return {**places, "PYTHONPATH": str(place.work)}

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask for the state of the workers: ``/ping`` is healthy before they are ready."""
        return all(_has_worker(ports["management"], name) for name in MODELS)

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs over HTTP and gRPC, with the port of the management API."""
        urls = [
            *model_urls("torchserve", ports["http"]),
            *model_urls("torchserve+grpc", ports["grpc"]),
        ]
        return [f"{url}?management={ports['management']}" for url in urls]


def _check_length(work: Path) -> None:
    """Raise :class:`LocalServerError` where its workers' sockets would have too long a path."""
    if len(str(work / "tmp" / SOCKET)) > LONGEST_PATH:
        msg = f"torchserve: {work} is too long for the paths of its sockets: choose another --state"
        raise LocalServerError(msg)


def configuration(ports: Mapping[str, int]) -> str:
    """Return its ``config.properties``."""
    addresses = {key: form.format(host=HOST, **ports) for key, form in ADDRESSES.items()}
    return "".join(f"{key}={value}\n" for key, value in {**addresses, **SETTINGS}.items())


def _has_worker(port: int, name: str) -> bool:
    [version] = get_json(port, f"/models/{name}")
    return any(worker["status"] == "READY" for worker in version["workers"])


def write_archive(path: Path, model: Model) -> None:
    """Write what ``torch-model-archiver`` writes: a zip of handler, model and manifest."""
    files = {"torchserve_handler.py": FILES, "onnx_model.py": FILES}
    described = {
        "modelName": model.name,
        "modelVersion": "1.0",
        "handler": "torchserve_handler.py",
        "serializedFile": "model.onnx",
    }
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": described}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.write(model.path, "model.onnx")
        for name, folder in files.items():
            archive.write(folder / name, name)
