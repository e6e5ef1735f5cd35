"""NVIDIA Triton: the server's own program from the wheel of pytriton, without pytriton itself."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fastbench.local_servers.base import (
    FILES,
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

    from fastbench.models.base import Model, TensorSpec

#: NumPy 2 in its Python backend makes every output empty, without a word.
NUMPY = "numpy==1.26.4"
MAX_BATCH = 64
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where shm_open(3) has them
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON_LIBRARY = f"libpython{VERSION}.so.1.0"


class Triton(LocalServer):
    """HTTP, gRPC and metrics; models in its Python backend, which runs onnxruntime."""

    name: ClassVar = "triton"
    about: ClassVar = (
        "NVIDIA Triton 2.51.0 (nvidia-pytriton 0.7.0), onnxruntime in its Python backend"
    )
    installs: ClassVar = (("--no-deps", "nvidia-pytriton==0.7.0"), (NUMPY, ONNXRUNTIME))
    ports: ClassVar = ("http", "grpc", "metrics")

    def missing(self) -> str | None:
        """Look for a Python that has a NumPy 1, and its shared library."""
        if sys.version_info >= (3, 13):
            return "its Python backend needs NumPy 1, which there is up to Python 3.12"
        try:
            ctypes.CDLL(_python_library())
        except OSError:
            return f"its Python backend needs {PYTHON_LIBRARY}: apt-get install libpython{VERSION}"
        return None

    def prepare(self, place: Place) -> list[str]:
        """Make the model repository and the folder of the Python backend."""
        server = place.packages / "pytriton" / "tritonserver"
        backend = place.work / "backends" / "python"
        backend.mkdir(parents=True)
        stubs = server / "python_backend_stubs" / VERSION
        for file in (
            *(server / "backends" / "python").glob("*triton_python*"),
            stubs / "triton_python_backend_stub",
        ):
            shutil.copy(file, backend)
        for model in place.models:
            _write_model(place.work / "models" / model.name, model)
        words = [str(server / "bin" / "tritonserver"), "--allow-gpu-metrics=false"]
        words += ["--exit-timeout-secs", "5"]  # for what is in flight when it is stopped
        words += ["--model-repository", str(place.work / "models")]
        words += ["--backend-directory", str(backend.parent)]
        words += ["--backend-config", f"python,shm-region-prefix-name={_prefix(place.ports)}"]
        for name in self.ports:
            words += [f"--{name}-address", HOST, f"--{name}-port", str(place.ports[name])]
        return words

    def environment(self, place: Place) -> dict[str, str]:
        """Return where libraries and packages lie."""
        libraries = [place.packages / "nvidia_pytriton.libs", Path(_python_library()).parent]
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PYTHONPATH": str(place.packages),
        }

    def clean_up(self, ports: Mapping[str, int]) -> None:
        """Remove the shared memory of its models: it stays when clients keep it from ending."""
        for region in SHARED_MEMORY.glob(f"{_prefix(ports)}*"):
            region.unlink(missing_ok=True)

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


def _python_library() -> str:
    """Return the path of Python's shared library, its name alone where the system knows better."""
    path = Path(sysconfig.get_config_var("LIBDIR") or "", PYTHON_LIBRARY)
    return str(path) if path.is_file() else PYTHON_LIBRARY


def _prefix(ports: Mapping[str, int]) -> str:
    """Return how the names of its regions of shared memory begin."""
    return f"fastbench-triton-{ports['http']}-"


def _write_model(folder: Path, model: Model) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copy(FILES / "triton_model.py", folder / "1" / "model.py")
    shutil.copy(FILES / "onnx_model.py", folder / "1")  # the backend looks nowhere else
    (folder / "config.pbtxt").write_text(config_of(model))


def config_of(model: Model) -> str:
    """Return the configuration of a model: requests are run one by one, in one instance."""
    return "\n".join(
        (
            f'name: "{model.name}"',
            'backend: "python"',
            f"max_batch_size: {MAX_BATCH}",
            *_tensors("input", model.inputs),
            *_tensors("output", model.outputs),
            "instance_group [ { count: 1 kind: KIND_CPU } ]",
            f'parameters [ {{ key: "onnx" value: {{ string_value: "{model.path}" }} }} ]',
            "",
        )
    )


def _tensors(field: str, specs: Iterable[TensorSpec]) -> list[str]:
    lines = []
    for spec in specs:
        dims = ", ".join(map(str, (spec.shape or ())[1:]))
        lines.append(f'{field} [ {{ name: "{spec.name}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]')
    return lines
