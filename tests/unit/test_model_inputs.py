"""Made-up inputs fit any model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastbench.models.base import Model, TensorSpec
from fastbench.models.inputs import random_inputs


def test_inputs_of_every_kind() -> None:
    """Types and shapes are the model's; reals are in [0, 1), integers 0 or 1; always the same."""
    specs = (
        TensorSpec("image", "float32", (None, 3, 8)),
        TensorSpec("ids", "int64", (None, 200)),
        TensorSpec("on", "bool", (2,)),
    )
    model = Model("m", "ONNX", Path("m.onnx"), specs, (), random_weights=True, sha256="",
                  parameters=None, multiply_adds=None)  # fmt: skip

    image, ids, on = random_inputs(model)

    assert (image.dtype, ids.dtype, on.dtype) == (np.float32, np.int64, np.bool_)
    assert (image.shape, ids.shape, on.shape) == ((1, 3, 8), (1, 200), (2,))
    assert 0 <= image.min() < image.max() < 1
    assert set(ids.flat) == {0, 1}
    assert all(map(np.array_equal, random_inputs(model), (image, ids, on)))
