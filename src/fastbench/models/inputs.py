"""Inputs that any model takes, made up: to check it, and to see what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fastbench.models.base import Model

SEED = 1


def random_inputs(model: Model) -> list[npt.NDArray[Any]]:
    """Return one sample for each input of ``model``; always the same.

    Dimensions of any size are 1 long. Floating-point numbers are in [0, 1); integers are 0 or 1,
    which stand in every table that a model may look them up in. The model must know the types
    and shapes of its inputs.
    """
    random = np.random.default_rng(SEED)
    inputs: list[npt.NDArray[Any]] = []
    for spec in model.inputs:
        shape, kind = [size or 1 for size in spec.shape or ()], np.dtype(spec.dtype)
        if kind.kind == "f":
            inputs.append(random.random(shape, dtype=np.float32).astype(kind))
        else:
            inputs.append(random.integers(0, 2, shape).astype(kind))
    return inputs
