"""Are the answers right? Replies compared with an in-process onnxruntime run of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
import numpy as np

from fastbench.errors import ModelError
from fastbench.results import Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastbench.datasets.rows import Rows
    from fastbench.measured import Capture
    from fastbench.models.base import Model
    from fastbench.models.onnx_session import Oracle

#: Largest absolute difference that passes, relative to the largest expected value (at least 1):
#: room for another order of summation or TF32 on a GPU, far below any wrong answer.
TOLERANCE = 1e-3

#: Wrong rows named in the result, at most.
NAMED_MISMATCHES = 20

#: Expected answers that are kept for the next reply to the same row.
KEPT_ANSWERS_BYTES = 64 * 1024 * 1024


def make_oracle(model: Model) -> Oracle | None:
    """Return an oracle for ONNX models, None for the kinds that onnxruntime cannot run."""
    if model.backend != "ONNX":
        return None
    from fastbench.models.onnx_session import Oracle

    return Oracle(model)


def difference(expected: NDArray[Any], answer: NDArray[Any]) -> float:
    """Return the largest absolute difference relative to max(1, largest expected value).

    Infinite where the sizes differ or the answer is not finite.
    """
    if expected.size != answer.size or not np.isfinite(answer).all():
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(expected.ravel() - answer.ravel()).max(initial=0.0)) / scale


def check_first(
    model: Model, oracle: Oracle | None, inputs: Sequence[NDArray[Any]], answer: NDArray[Any]
) -> float | None:
    """Compare the server's first answer, the model's first output, with the oracle's.

    Returns the difference, None without an oracle. Raises as :func:`check_answer`.
    """
    return check_answer(model, None if oracle is None else oracle.run(inputs)[0], answer)


def check_answer(model: Model, expected: NDArray[Any] | None, answer: NDArray[Any]) -> float | None:
    """Return the difference of an answer from the ``expected`` one, None where there is none.

    Raises :class:`ModelError` above :data:`TOLERANCE`: no figure would mean anything.
    """
    if expected is None:
        return None
    found = difference(expected, answer)
    if not found <= TOLERANCE:
        msg = (
            f"model {model.name}: the server's answer differs from onnxruntime's by {found:.3g} "
            f"(tolerance {TOLERANCE:g}): it runs another model or computes wrongly"
        )
        raise ModelError(msg)
    return found


class Expected:
    """The oracle's answer to each inference, computed once and kept while there is room.

    ``inputs``: rows for each input of the model; an inference takes ``batch`` of each.
    """

    def __init__(self, oracle: Oracle, inputs: Sequence[Rows], batch: int) -> None:
        self._oracle = oracle
        self._inputs = [rows.array() for rows in inputs]
        self._batch = batch
        self._kept: dict[int, NDArray[Any]] = {}
        self._bytes = 0

    def __call__(self, row: int) -> NDArray[Any]:
        """Return the first output for the inference that begins with ``row``."""
        if row in self._kept:
            return self._kept[row]
        sent = [np.asarray(array[row : row + self._batch]) for array in self._inputs]
        answer: NDArray[Any] = self._oracle.run(sent)[0]
        if self._bytes + answer.nbytes <= KEPT_ANSWERS_BYTES:
            self._kept[row] = answer
            self._bytes += answer.nbytes
        return answer


def redis_tensor(data: bytes) -> NDArray[np.float32]:
    """Return the tensor in RESP replies: the last bulk string of the last one."""
    reader = hiredis.Reader()
    reader.feed(data)
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    last = replies[-1] if replies else b""
    blob = last[-1] if isinstance(last, list) else last
    whole = isinstance(blob, bytes) and len(blob) % 4 == 0
    return np.frombuffer(blob if whole else b"", dtype=np.float32)


def _redis_answer(capture: Capture) -> NDArray[np.float32]:
    return redis_tensor(capture.data)


def verify(
    captures: Sequence[Capture],
    requested: int | str,
    expected: Callable[[int], NDArray[Any]],
    tensor_of: Callable[[Capture], NDArray[np.float32]] = _redis_answer,
) -> Verification:
    """Compare kept replies with what is expected of the inference that begins with a row.

    ``requested``: how many were asked for, or ``all``. ``tensor_of``: finds the answer in a kept
    reply; empty = it has none.
    """
    whole = [c for c in captures if c.whole]
    differences = [(c.row, difference(expected(c.row), tensor_of(c))) for c in whole]
    wrong = [row for row, d in differences if not d <= TOLERANCE]
    return Verification(
        requested=None if requested == "all" else int(requested),
        checked=len(whole),
        mismatches=len(wrong),
        max_abs_difference=max((d for _, d in differences), default=None),
        tolerance=TOLERANCE,
        mismatched_rows=sorted(set(wrong))[:NAMED_MISMATCHES],
    )


def merge(earlier: Verification, later: Verification) -> Verification:
    """Return two parts of the verification of one repetition as one."""
    parts = (earlier, later)
    differences = [p.max_abs_difference for p in parts if p.max_abs_difference is not None]
    rows = set(earlier.mismatched_rows) | set(later.mismatched_rows)
    return Verification(
        requested=earlier.requested,
        checked=sum(p.checked for p in parts),
        mismatches=sum(p.mismatches for p in parts),
        max_abs_difference=max(differences, default=None),
        tolerance=earlier.tolerance,
        mismatched_rows=sorted(rows)[:NAMED_MISMATCHES],
    )
