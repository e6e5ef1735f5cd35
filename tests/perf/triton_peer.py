"""A real Triton with models of our own, on one CPU, and NVIDIA's perf_analyzer from its wheel.

The server is that of ``fastbench servers``; perf_analyzer is in ``tritonclient`` up to 2.41.1, and
asks for two libraries that lie beside that server.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.interrupts import deferred
from fastbench.local_servers import control, launch
from fastbench.local_servers.base import HOST, Place
from fastbench.local_servers.state import Folder, emptied
from fastbench.local_servers.triton import Triton as Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CLIENT = "tritonclient==2.41.1"
LIBRARIES = {"libcudart-*": "libcudart.so.12", "libb64-*": "libb64.so.0d"}
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
        return f"{HOST}:{self.http if kind == 'http' else self.grpc}"

    def inferences(self, model: str) -> int:
        """Return how many inferences the model has made, as the server tells."""
        url = f"http://{HOST}:{self.http}/v2/models/{model}/stats"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return sum(int(each["inference_count"]) for each in json.load(reply)["model_stats"])


def say(line: str) -> None:
    """Print a line for people."""
    sys.stderr.write(line + "\n")


def install(folder: Path) -> Path:
    """Install both where that was not done; return the folder with ``perf_analyzer``."""
    server = Server()
    control.install(server, folder, say)
    programs = folder / "bin"
    if not (programs / "perf_analyzer").exists():
        wheels = folder / "wheels"
        wheel = ["--no-deps", "--only-binary=:all:", "--platform", "manylinux1_x86_64", CLIENT]
        pip = [str(Folder(folder, server.name).python), "-m", "pip", "download", "--quiet"]
        subprocess.run([*pip, "--dest", str(wheels), *wheel], check=True)
        _unpack(folder, programs)
    return programs


def _unpack(folder: Path, programs: Path) -> None:
    """Take perf_analyzer out of its wheel and put the libraries beside it that it asks for."""
    lib = folder / "lib"
    [wheel] = (folder / "wheels").glob("tritonclient-*.whl")
    lib.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("/bin/perf_analyzer")]
        (lib / "perf_analyzer").write_bytes(archive.read(name))
    (lib / "perf_analyzer").chmod(0o755)
    for pattern, wanted in LIBRARIES.items():
        [found] = (Folder(folder, Server.name).packages / "nvidia_pytriton.libs").glob(pattern)
        (lib / wanted).unlink(missing_ok=True)
        (lib / wanted).symlink_to(found)
    programs.mkdir(exist_ok=True)
    wrapper = programs / "perf_analyzer"
    wrapper.write_text(WRAPPER.format(lib=lib))
    wrapper.chmod(0o755)


@contextlib.contextmanager
def serving(folder: Path, models: Sequence[Model], cpu: int) -> Iterator[Triton]:
    """Run an installed Triton with these models on one CPU until the block ends."""
    server, own = Server(), Folder(folder, Server.name)
    with own.locked():
        work = emptied(own.work)
        place = Place(own.python, own.packages, work, _free_ports(server.ports), models=())
        command = server.prepare(place)
        for model in models:
            _write_model(work / "models" / model.name, model)
        (work / "tmp").mkdir()
        process = running = None
        try:
            with deferred():
                words = ["taskset", "-c", str(cpu), *command]
                process, running = launch.spawn(server, words, place, own)
            _wait_until_ready(process, place.ports["http"], own.log)
            yield Triton(http=place.ports["http"], grpc=place.ports["grpc"])
        finally:
            if process is not None and running is not None:
                launch.end(server, running)  # by force where it takes too long
                process.poll()


def _write_model(folder: Path, model: Model) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL_PY.format(delay_s=model.delay_s))
    config = CONFIG.format(name=model.name, floats=model.floats, instances=model.instances)
    (folder / "config.pbtxt").write_text(config)


def _free_ports(names: Sequence[str]) -> dict[str, int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server((HOST, 0))) for _ in names]
        return {name: p.getsockname()[1] for name, p in zip(names, probes, strict=True)}


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/v2/health/ready", timeout=5).close()
            return
        time.sleep(0.2)
    sys.exit(f"Triton did not get ready; its log: {log}")
