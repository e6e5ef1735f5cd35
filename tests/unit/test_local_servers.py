"""Servers for trials: what they are given, checked without starting them."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastbench.cache import cache_folder
from fastbench.errors import LocalServerError, UsageError
from fastbench.local_servers import processes
from fastbench.local_servers.base import Place
from fastbench.local_servers.known import SERVERS, server_called
from fastbench.local_servers.state import (
    Folder,
    Running,
    default_state,
    emptied,
    holds_random_models,
    tail,
)
from fastbench.local_servers.torchserve import write_archive
from fastbench.local_servers.triton import config_of
from fastbench.models.inputs import random_inputs
from fastbench.models.loading import load_model
from fastbench.models.onnx_session import Oracle

NAMES = [server.name for server in SERVERS]


def test_names() -> None:
    """Each has a name of its own; another name is refused with those that there are."""
    assert len(set(NAMES)) == len(NAMES)
    assert all(server_called(name).name == name for name in NAMES)
    with pytest.raises(UsageError, match=f"no server 'other': there are {', '.join(NAMES)}"):
        server_called("other")


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_pinned(name: str) -> None:
    """Every package has its version: a trial today is the same as one tomorrow."""
    words = [word for words in server_called(name).installs for word in words]
    packages = [word for word in words if not word.startswith("-")]

    assert packages
    assert [word for word in packages if not re.fullmatch(r"[\w-]+==[\w.]+", word)] == []


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_on_loopback(name: str) -> None:
    """Each target has a port of the server's own, on 127.0.0.1."""
    server = server_called(name)
    ports = {port: 50_000 + index for index, port in enumerate(server.ports)}

    targets = server.targets(ports)

    assert targets
    for target in targets:
        place = re.match(r"[a-z+]+://127\.0\.0\.1:(\d+)", target)
        assert place
        assert int(place[1]) in ports.values()


@pytest.mark.parametrize("name", ["fraud", "fraud_noreference"])
def test_model_inside_the_servers(name: str) -> None:
    """Bytes of all inputs, one after the other, give what the oracle says."""
    from fastbench.local_servers.files.onnx_model import OnnxModel

    model = load_model(name)
    inputs = [np.repeat(value, 3, axis=0) for value in random_inputs(model)]
    served = OnnxModel(str(model.path))

    found = served.run_bytes(b"".join(value.tobytes() for value in inputs))

    np.testing.assert_allclose(found, Oracle(model).run(inputs)[0], rtol=1e-5)
    for wrong in (b"", b"x" * 119, b"x" * (4 * 30 + 4 * 256 + 4)):
        with pytest.raises(ValueError, match=f"{len(wrong)} bytes: one sample has"):
            served.run_bytes(wrong)
    with pytest.raises(ValueError, match="the model takes transaction"):
        served.run({"other": inputs[0]})


def test_one_inference_at_a_time() -> None:
    """Two threads that would meet inside a model do not."""
    from fastbench.local_servers.files.onnx_model import OnnxModel

    served = OnnxModel(str(load_model("fraud_noreference").path))
    inside, met = threading.Barrier(2), []

    class Session:
        def run(self, *_: object) -> list[object]:
            with contextlib.suppress(threading.BrokenBarrierError):
                inside.wait(timeout=0.5)
                met.append(True)
            return [None] * len(served.outputs)

    served._session = Session()
    tensors = {name: np.zeros((1, *shape)) for name, shape in served.inputs.items()}
    threads = [threading.Thread(target=served.run, args=[tensors]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert inside.broken
    assert met == []


def test_configuration_for_triton() -> None:
    """Names, sizes and the file stand in it, without the batch's dimension."""
    model = load_model("fraud")

    lines = config_of(model).splitlines()

    assert 'input [ { name: "reference" data_type: TYPE_FP32 dims: [ 256 ] } ]' in lines
    assert 'output [ { name: "output" data_type: TYPE_FP32 dims: [ 2 ] } ]' in lines
    assert f'parameters [ {{ key: "onnx" value: {{ string_value: "{model.path}" }} }} ]' in lines


def test_configuration_of_torchserve(tmp_path: Path) -> None:
    """Every address that it binds is on loopback, every port one of those picked."""
    server = server_called("torchserve")
    ports = {name: 50_000 + index for index, name in enumerate(server.ports)}

    place = Place(Path("python"), tmp_path, tmp_path, ports, [])
    server.prepare(place)
    lines = (tmp_path / "config.properties").read_text().splitlines()

    addresses = [line.partition("=")[2] for line in lines if "_address=" in line]
    assert len(addresses) == 5
    assert [address for address in addresses if "127.0.0.1" not in address] == []
    assert "management_address=http://127.0.0.1:50001" in lines
    assert "grpc_inference_port=50003" in lines


def test_archive_for_torchserve(tmp_path: Path) -> None:
    """It holds what its manifest names, and what its handler imports."""
    model = load_model("fraud")

    write_archive(tmp_path / "fraud.mar", model)

    with zipfile.ZipFile(tmp_path / "fraud.mar") as archive:
        described = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
        assert archive.read(described["serializedFile"]) == model.path.read_bytes()
        assert {described["handler"], "onnx_model.py"} <= set(archive.namelist())
    assert described["modelName"] == "fraud"


def test_paths_too_long_for_torchserve(tmp_path: Path) -> None:
    """Its sockets lie in the state folder, and the kernel limits their paths."""
    work = tmp_path / ("x" * 100)
    place = Place(Path("python"), tmp_path, work, {}, [])

    with pytest.raises(LocalServerError, match="too long for the paths of its sockets"):
        server_called("torchserve").prepare(place)


def test_stand_in_is_called_one() -> None:
    """Nobody takes it for TensorFlow Serving."""
    assert server_called("tfserving").about.startswith("STAND-IN")


def test_gunicorn_listens_on_loopback_only(tmp_path: Path) -> None:
    """The app is copied beside the command, which names the address."""
    place = Place(Path("python"), tmp_path, tmp_path, {"http": 5}, [load_model("fraud")])

    words = server_called("flask").prepare(place)

    assert words[words.index("--bind") + 1] == "127.0.0.1:5"
    assert (tmp_path / "rest_app.py").exists()


def test_folders_and_logs(tmp_path: Path) -> None:
    """Servers lie in the cache folder; of a log the last lines count that say something."""
    log = tmp_path / "log"
    log.write_text("\n".join([*map(str, range(40)), "", "x" * 1000, "  "]))

    assert default_state() == cache_folder() / "servers"
    assert tail(log)[-2:] == ["39", "x" * 300]
    assert len(tail(log)) == 15
    assert tail(tmp_path / "none") == []
    assert list(emptied(tmp_path).iterdir()) == []


def test_models_that_fastbench_put_there_are_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target of a server that runs here is known by its URL; of one that has ended it is not."""
    monkeypatch.setenv("FASTBENCH_SERVERS", str(tmp_path))
    (tmp_path / "empty").mkdir()
    (tmp_path / "triton").mkdir()
    running = Running(
        pid=1,
        started_ticks=2,
        boot="b",
        token="t",
        ports={"http": 1},
        targets=["triton+http://127.0.0.1:1/fraud"],
    )
    Folder(tmp_path, "triton").running = running
    monkeypatch.setattr(processes, "is_alive", lambda found: found == running)

    assert holds_random_models("triton+http://127.0.0.1:1/fraud")
    assert not holds_random_models("triton+http://127.0.0.1:2/fraud")
    monkeypatch.setattr(processes, "is_alive", lambda _: False)
    assert not holds_random_models("triton+http://127.0.0.1:1/fraud")
    monkeypatch.setenv("FASTBENCH_SERVERS", str(tmp_path / "none"))
    assert not holds_random_models("triton+http://127.0.0.1:1/fraud")
