"""The fraud network: two inputs that both count, known sizes, the same bytes every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastbench.datasets.transactions import References, Synthetic
from fastbench.errors import ModelError
from fastbench.models import Oracle, build_file, load_model
from fastbench.models.fraud import SIZES, make_layers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS = 200


def inputs() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return transactions and reference data."""
    return Synthetic(ROWS, 3).block(0, ROWS)[0], References(3).block(ROWS)


def by_numpy(x: NDArray[Any], *, reference: bool) -> NDArray[Any]:
    """Return what the network computes, in float64 by its definition."""
    *hidden, last = make_layers(reference=reference)
    for layer in hidden:
        x = 1 / (1 + np.exp(-(x @ layer.weights + layer.bias)))
    e = np.exp(x @ last.weights + last.bias)
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_answers_are_numpys() -> None:
    """Both variants compute sigmoid layers of 18, 27 and 40 and a softmax of 2."""
    taken, reference = inputs()
    scaled = taken.astype(np.float64) / np.array(SIZES)

    both = Oracle(load_model("fraud")).run([taken, reference])[0]
    alone = Oracle(load_model("fraud_noreference")).run([taken])[0]

    expected = by_numpy(np.hstack([scaled, reference]), reference=True)
    np.testing.assert_allclose(expected, both, atol=1e-4)
    np.testing.assert_allclose(by_numpy(scaled, reference=False), alone, atol=1e-4)
    assert [layer.bias.size for layer in make_layers(reference=True)] == [18, 27, 40, 2]


def test_both_inputs_count() -> None:
    """Changing either input changes the answer, mostly by more than verification tolerates."""
    taken, reference = inputs()
    oracle = Oracle(load_model("fraud"))
    right = oracle.run([taken, reference])[0]

    for other in ([np.roll(taken, 1, 0), reference], [taken, np.roll(reference, 1, 0)]):
        difference = np.abs(oracle.run(other)[0] - right).max(axis=1)

        assert (difference > 0).all()
        assert (difference > 1e-3).mean() > 0.9


@pytest.mark.parametrize(
    ("name", "takes", "parameters"),
    [
        ("fraud", [("transaction", (None, 30)), ("reference", (None, 256))], 6_911),
        ("fraud_noreference", [("transaction", (None, 30))], 2_303),
    ],
)
def test_tensors_and_size(
    name: str, takes: list[tuple[str, tuple[int | None, ...]]], parameters: int
) -> None:
    """Names and shapes; parameters are aibench's 2,273 and 30 divisors, 256 x 18 with reference."""
    model = load_model(name)

    assert [(t.name, t.shape) for t in model.inputs] == takes
    assert [(t.name, t.shape) for t in model.outputs] == [("output", (None, 2))]
    assert model.parameters == parameters
    assert model.random_weights


def test_same_bytes(tmp_path: Path) -> None:
    """Building it again gives the same file."""
    for name in ("a", "b"):
        build_file("fraud", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TorchScript is; servers still take it
def test_torchscript(tmp_path: Path) -> None:
    """The TorchScript file computes what the ONNX file does."""
    torch = pytest.importorskip("torch")
    taken, reference = inputs()
    for name, tensors in (("fraud", [taken, reference]), ("fraud_noreference", [taken])):
        build_file(name, tmp_path / f"{name}.pt", "TORCH")
        module = torch.jit.load(str(tmp_path / f"{name}.pt"))
        answer = module(*map(torch.from_numpy, tensors)).numpy()

        expected = Oracle(load_model(name)).run(tensors)[0]
        np.testing.assert_allclose(expected, answer, atol=1e-4)
        assert load_model(str(tmp_path / f"{name}.pt")).backend == "TORCH"


@pytest.mark.parametrize(("name", "backend"), [("identity", "TORCH"), ("fraud", "TF")])
def test_backends_that_are_not_built(tmp_path: Path, name: str, backend: str) -> None:
    """Other backends are refused with those that there are."""
    with pytest.raises(ModelError, match="as TORCH too there are fraud, fraud_noreference"):
        build_file(name, tmp_path / "m", backend)
    assert list(tmp_path.iterdir()) == []
