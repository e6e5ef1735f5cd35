"""`fastbench run` with what goes around an inference: scripts, PERSIST, the server's TIMEOUT."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import redis
from support.cli import fastbench

import fastbench as api
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from fastbench.results import Result
    from fastbench.servers.embedded import EmbeddedServer

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")

#: The same functions, as entry points and as the deprecated commands call them.
SCRIPTS = {
    "modern": """
def pre_process(tensors: List[Tensor], keys: List[str], args: List[str]):
    return tensors[0] * 2

def post_process(tensors: List[Tensor], keys: List[str], args: List[str]):
    return torch.cat([tensors[0], tensors[0] + 1], 1)
""",
    "legacy": """
def pre_process(image):
    return image * 2

def post_process(means):
    return torch.cat([means, means + 1], 1)
""",
}


def client_of(server: EmbeddedServer) -> redis.Redis:
    """Return a client of the server."""
    target = parse_target(server.url)
    return redis.Redis(host=target.host, port=target.port)


def counted(server: EmbeddedServer, sample: Path, model: Path, **values: Any) -> Result:
    """Run 20 inferences once, without warm-up."""
    return api.run(
        api.RunConfig(
            target=server.url,
            dataset=sample,
            model=str(model),
            requests=20,
            warmup_s=0.0,
            repetitions=1,
            **values,
        )
    )


@needs_torch
@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own future
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dialect", ["modern", "legacy"])
def test_script_around_the_model(
    ai_server: EmbeddedServer,
    sample: Path,
    tiny_model: Path,
    tmp_path: Path,
    dialect: str,
    batch: int,
) -> None:
    """What the server keeps is NumPy's answer to the same steps: both functions ran, in order."""
    script = tmp_path / "around.py"
    script.write_text(SCRIPTS[dialect])

    result = counted(
        ai_server,
        sample,
        tiny_model,
        form="script",
        script=script,
        dialect=dialect,
        batch=batch,
        persist=True,
    )

    with client_of(ai_server) as client:
        answer = client.execute_command("AI.TENSORGET", "answerTensor:{c000000}", "BLOB")
    rows = np.load(sample / "data.npy")
    last = (20 - 1) * batch % len(rows)
    means = (rows[last : last + batch].astype(np.float64) * 2).mean(axis=(1, 2))
    expected = np.concatenate([means, means + 1], axis=1)
    assert result.repetitions[0].counts.ok == 20
    assert np.allclose(np.frombuffer(answer, np.float32).reshape(expected.shape), expected, 1e-3)


@needs_torch
def test_script_that_the_server_refuses(sample: Path, tiny_model: Path, tmp_path: Path) -> None:
    """What PyTorch says of a script is passed on in one line, before anything is measured."""
    script = tmp_path / "bad.py"
    script.write_text("def pre_process(image):\n    return nowhere(image)\n")
    options = ("--dataset", sample, "--model", tiny_model, "--form", "script", "--script", script)

    done = fastbench("run", *options, "--quiet")

    assert done.code == 1
    assert "refused script bad on cpu" in done.line
    assert "nowhere" in done.line


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_script_without_pytorch(sample: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A server that cannot run scripts is said so, before anything is measured."""
    script = tmp_path / "around.py"
    script.write_text(SCRIPTS["modern"])
    options = ("--dataset", sample, "--model", tiny_model, "--form", "script", "--script", script)

    done = fastbench("run", *options, "--quiet")

    assert done.code == 1
    assert "refused script around on cpu: Could not load backend" in done.line


@pytest.mark.parametrize("dialect", ["modern", "legacy"])
def test_persist(ai_server: EmbeddedServer, sample: Path, tiny_model: Path, dialect: str) -> None:
    """A DAG leaves its answer under the connection's key where that is asked for, else not."""
    key = "classificationTensor:{c000000}"
    with client_of(ai_server) as client:
        client.delete(key)
        counted(ai_server, sample, tiny_model, form="dag", dialect=dialect)
        without = client.exists(key)
        counted(ai_server, sample, tiny_model, form="dag", dialect=dialect, persist=True)
        answer = client.execute_command("AI.TENSORGET", key, "BLOB")

    rows = np.load(sample / "data.npy")
    means = rows[19 % len(rows)].astype(np.float64).mean(axis=(0, 1))
    assert without == 0
    assert np.allclose(np.frombuffer(answer, np.float32), means, 1e-3)


@pytest.mark.parametrize("dialect", ["modern", "legacy"])
@pytest.mark.parametrize("form", ["pipeline", "dag", "dag-ro", "execute"])
def test_server_gives_up(
    ai_server: EmbeddedServer, sample: Path, tmp_path: Path, form: str, dialect: str
) -> None:
    """Inferences that waited longer than TIMEOUT in the server's queue are counted as time-outs."""
    model = tmp_path / "slow.onnx"
    build_slow(model)
    result = counted(
        ai_server,
        sample,
        model,
        form=form,
        dialect=dialect,
        connections=8,
        server_timeout_ms=1,
    )

    (repetition,) = result.repetitions
    counts = repetition.counts
    assert counts.timeouts > 0
    assert counts.ok + counts.timeouts == 20
    assert repetition.response_ms.censored == counts.timeouts


def build_slow(path: Path) -> None:
    """Write the model of mean colours that first computes for a few milliseconds."""
    import onnx
    from onnx import TensorProto, helper

    shape = ["N", 224, 224, 3]
    nodes = [helper.make_node("Sin", ["input"], ["x0"])]
    nodes += [helper.make_node("Sin", [f"x{i}"], [f"x{i + 1}"]) for i in range(20)]
    nodes += [helper.make_node("ReduceMean", ["x20"], ["output"], axes=[1, 2], keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3])],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), str(path))
