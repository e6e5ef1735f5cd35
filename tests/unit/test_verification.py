"""Right answers pass, wrong ones are found: shapes, values, not-a-number, cut-off replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastbench import verification
from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import ModelError
from fastbench.measured import Capture
from fastbench.models.loading import load_model
from fastbench.models.onnx_session import Oracle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastbench.datasets.base import Dataset
    from fastbench.results import Verification

ROWS = 6


def judged(
    captures: list[Capture], requested: int | str, dataset: Dataset, batch: int, oracle: Oracle
) -> Verification:
    """Compare replies with the oracle's answers to the rows that they name."""
    expected = verification.Expected(oracle, [dataset], batch)
    return verification.verify(captures, requested, expected)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a dataset of six rows."""
    return build(VisionConfig(out=tmp_path_factory.mktemp("data") / "d", sample=ROWS, workers=1))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Return an oracle of the mean-colour model; NumPy is the oracle of this oracle below."""
    from fastbench.models.builtin import build_file

    path = tmp_path_factory.mktemp("model") / "mean.onnx"
    build_file("mean_rgb_224", path)
    return Oracle(load_model(str(path)))


def answer(dataset: Dataset, row: int, batch: int) -> NDArray[np.float32]:
    """Return the right answer as NumPy computes it: the mean of each channel."""
    images = dataset.array()[row : row + batch].astype(np.float64)
    return images.mean(axis=(1, 2)).astype(np.float32)


def capture(row: int, tensor: NDArray[Any], *, dag: bool = False, whole: bool = True) -> Capture:
    """Return a kept reply with ``tensor`` in it, in the form of three replies or of one DAG."""
    blob = tensor.astype(np.float32).tobytes()
    replies = b"+OK\r\n+OK\r\n$%d\r\n%s\r\n" % (len(blob), blob)
    return Capture(row, (b"*3\r\n" if dag else b"") + replies, whole)


@pytest.mark.parametrize("dag", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_right_answers(dataset: Dataset, oracle: Oracle, batch: int, dag: bool) -> None:
    """NumPy's means pass as replies to every row, in both forms of the reply."""
    rows = range(0, ROWS, batch)
    captures = [capture(row, answer(dataset, row, batch), dag=dag) for row in rows]

    found = judged(captures, 10, dataset, batch, oracle)

    assert (found.requested, found.checked, found.mismatches) == (10, len(captures), 0)
    assert found.max_abs_difference is not None
    assert found.max_abs_difference <= verification.TOLERANCE  # onnxruntime sums in float32
    assert found.mismatched_rows == []


def test_another_rows_answer(dataset: Dataset, oracle: Oracle) -> None:
    """The right answer to another row is a wrong answer, and the row is named."""
    captures = [capture(row, answer(dataset, row, 1)) for row in range(ROWS)]
    captures[4] = capture(4, answer(dataset, 5, 1))

    found = judged(captures, ROWS, dataset, 1, oracle)

    assert found.mismatches == 1
    assert found.mismatched_rows == [4]


def test_every_reply_counts(dataset: Dataset, oracle: Oracle) -> None:
    """One wrong reply is not hidden by right ones to the same row, before or after it."""
    right = capture(3, answer(dataset, 3, 1))
    wrong = capture(3, answer(dataset, 4, 1))

    for captures in ([wrong, right, right], [right, wrong, right], [right, right, wrong]):
        found = judged(captures, 3, dataset, 1, oracle)

        assert (found.checked, found.mismatches, found.mismatched_rows) == (3, 1, [3])


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([np.nan, 0, 0]),
        np.array([np.inf, 0, 0]),
        np.zeros(2),
        np.zeros(0),
        np.zeros(4),
    ],
    ids=["nan", "inf", "short", "empty", "long"],
)
def test_no_answer_at_all(dataset: Dataset, oracle: Oracle, wrong: NDArray[Any]) -> None:
    """Values that are no numbers and tensors of another size are wrong, never skipped."""
    found = judged([capture(0, wrong)], 1, dataset, 1, oracle)

    assert (found.checked, found.mismatches) == (1, 1)


@pytest.mark.parametrize(
    "data", [b"", b"+OK\r\n", b"+OK\r\n+OK\r\n$-1\r\n", b"+OK\r\n+OK\r\n:3\r\n"]
)
def test_reply_without_a_tensor(dataset: Dataset, oracle: Oracle, data: bytes) -> None:
    """A reply in which no tensor can be found is wrong."""
    found = judged([Capture(0, data, whole=True)], 1, dataset, 1, oracle)

    assert (found.checked, found.mismatches) == (1, 1)


def test_cut_off_captures_are_not_judged(dataset: Dataset, oracle: Oracle) -> None:
    """A reply that was not kept whole is neither right nor wrong, and not counted as checked."""
    cut = capture(0, np.zeros(3), whole=False)

    found = judged([cut], 4, dataset, 1, oracle)

    assert (found.requested, found.checked, found.mismatches) == (4, 0, 0)
    assert found.max_abs_difference is None


def test_tolerance_is_relative_to_large_values() -> None:
    """0.05 beside 100 passes, beside 1 it does not; a difference is of the largest value."""
    assert verification.difference(np.array([100.0, 0.0]), np.array([100.05, 0.0])) < 1e-3
    assert verification.difference(np.array([1.0, 0.0]), np.array([1.0, 0.05])) > 1e-3
    assert verification.difference(np.array([0.25]), np.array([0.25])) == 0.0


def test_first_answer(dataset: Dataset, oracle: Oracle) -> None:
    """The check after loading returns the difference, and refuses to go on with a wrong answer."""
    model = load_model("mean_rgb_224")
    batch = np.ascontiguousarray(dataset.array()[:2])
    right = answer(dataset, 0, 2)

    found = verification.check_first(model, oracle, [batch], right)

    assert found is not None
    assert found <= verification.TOLERANCE
    assert verification.check_first(model, None, [batch], right * 0) is None
    for wrong in (right + 0.5, right[:1], right * np.nan):
        with pytest.raises(ModelError, match=r"mean_rgb_224.*differs"):
            verification.check_first(model, oracle, [batch], wrong)


def test_all_are_asked_for(dataset: Dataset, oracle: Oracle) -> None:
    """``all`` is no number: the finding says so by None."""
    found = judged([capture(0, answer(dataset, 0, 1))], "all", dataset, 1, oracle)

    assert (found.requested, found.checked) == (None, 1)


def test_parts_make_one_finding(dataset: Dataset, oracle: Oracle) -> None:
    """Findings of parts add up: counts, the worst difference, and the wrong rows, each once."""
    right = capture(0, answer(dataset, 0, 1))
    wrong = [capture(row, answer(dataset, row, 1) + row) for row in (5, 2)]

    parts = [
        judged(c, "all", dataset, 1, oracle) for c in ([], [right, wrong[0]], [wrong[1], wrong[0]])
    ]
    found = verification.merge(verification.merge(parts[0], parts[1]), parts[2])

    assert (found.checked, found.mismatches) == (4, 3)
    assert found.mismatched_rows == [2, 5]
    assert found.max_abs_difference == pytest.approx(5.0, rel=1e-3)


def test_expected_answers_are_computed_once() -> None:
    """An answer is kept for the next reply to its row while there is room, and right without."""
    asked = []
    size = verification.KEPT_ANSWERS_BYTES // 8 // 2

    class Doubling:
        """Stands for an oracle and keeps what it was asked."""

        def run(self, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
            asked.append(float(inputs[0][0][0]))
            return [inputs[0] * 2]

    class Counted:
        """Stands for rows: each holds its number, and two answers of their size fit."""

        def array(self) -> NDArray[Any]:
            return np.repeat(np.arange(4.0), size).reshape(4, size)

    expected = verification.Expected(Doubling(), [Counted()], 1)

    answers = [float(expected(row)[0][0]) for row in (1, 2, 3, 1, 2, 3)]

    assert answers == [2, 4, 6, 2, 4, 6]
    assert asked == [1, 2, 3, 3]
