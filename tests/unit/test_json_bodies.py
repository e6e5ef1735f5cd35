"""Rows as JSON: equally long bodies from which the same float32 come back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbench.datasets.vision import VisionConfig, build
from fastbench.errors import DatasetError
from fastbench.servers.http_messages import INSTANCES, JsonForm
from fastbench.workloads import json_bodies as subject

if TYPE_CHECKING:
    from fastbench.datasets.base import Dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return five synthetic images."""
    out = tmp_path_factory.mktemp("data") / "d"
    return build(VisionConfig(out=out, sample=5))


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_number_is_exact_and_of_fixed_width(value: float) -> None:
    """Nine digits give the same float32 back, always 15 characters wide, and are JSON."""
    text = subject.NUMBER % value

    assert len(text) == 15
    assert np.float32(json.loads(text)) == np.float32(value)


@pytest.mark.parametrize("batch", [1, 2])
def test_bodies_hold_the_rows(dataset: Dataset, batch: int) -> None:
    """Each body is JSON of ``batch`` rows in order, nested as they are; none is left out."""
    with subject.json_bodies(dataset, batch, INSTANCES) as data:
        assert isinstance(data.path, int)
        assert data.rows == 5 // batch
        bodies = [os.pread(data.path, data.row_bytes, i * data.row_bytes) for i in range(data.rows)]
        assert os.fstat(data.path).st_size == data.rows * data.row_bytes

    rows = [np.array(json.loads(body)["instances"], np.float32) for body in bodies]
    np.testing.assert_array_equal(np.concatenate(rows), dataset.array()[: batch * (5 // batch)])


def test_flat_numbers_in_another_form(dataset: Dataset) -> None:
    """The numbers stand in one list where that is asked for, between texts that hold anything."""
    with subject.json_bodies(dataset, 2, JsonForm('{"50%":', ',"%s":1}', flat=True)) as data:
        assert isinstance(data.path, int)
        found = json.loads(os.pread(data.path, data.row_bytes, data.row_bytes))

    assert set(found) == {"50%", "%s"}
    np.testing.assert_array_equal(np.float32(found["50%"]), dataset.array()[2:4].ravel())


def test_nan_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has no NaN: the rows that hold one are named."""
    values = np.array(dataset.array())
    values[3, 0, 0, 0] = np.nan
    monkeypatch.setattr(type(dataset), "array", lambda _: values)

    with (
        pytest.raises(DatasetError, match="rows 2 to 3 of"),
        subject.json_bodies(dataset, 2, INSTANCES),
    ):
        pass


def test_too_much_text_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bodies do not fit, nothing is written."""
    monkeypatch.setattr(subject, "_ROOM", 0.0)

    with (
        pytest.raises(DatasetError, match="--body raw"),
        subject.json_bodies(dataset, 1, INSTANCES),
    ):
        pass
