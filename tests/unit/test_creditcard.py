"""Kaggle's file: read exactly, and refused where a line is not whole, with its number."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fastbench.datasets.creditcard import read_creditcard
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"]
HEADER = ",".join(f'"{name}"' for name in NAMES)  # quoted, as Kaggle's file has it


def line(seed: int, label: str = '"0"') -> str:
    """Return a line of the file: 30 numbers and a class."""
    numbers = np.random.default_rng(seed).normal(0, 3, 30)
    return ",".join([*(repr(float(n)) for n in numbers), label])


def csv(tmp_path: Path, *lines: str) -> Path:
    """Write a file of these lines."""
    path = tmp_path / "creditcard.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_values_are_those_of_numpy(tmp_path: Path) -> None:
    """Every number is narrowed to float32 once, as NumPy's own reader does it."""
    path = csv(tmp_path, HEADER, *(line(i, f'"{i % 2}"') for i in range(50)))
    values, labels = read_creditcard(path)

    table = np.genfromtxt(path, delimiter=",", skip_header=1, converters={30: lambda t: t[1:2]})
    expected = np.array([list(row)[:30] for row in table.tolist()], np.float64)
    np.testing.assert_array_equal(expected.astype(np.float32), values)
    assert labels.tolist() == [i % 2 for i in range(50)]
    assert (values.dtype, labels.dtype) == (np.float32, np.uint8)


def test_gzip_gives_the_same(tmp_path: Path) -> None:
    """A gzipped file holds what the plain one does."""
    path = csv(tmp_path, HEADER, *(line(i) for i in range(5)))
    packed = tmp_path / "creditcard.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    for plain, unpacked in zip(read_creditcard(path), read_creditcard(packed), strict=True):
        np.testing.assert_array_equal(plain, unpacked)


GOOD = line(1)
CELLS = GOOD.split(",")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (",".join(CELLS[:-1]), ("line 3", "30 fields")),
        (GOOD + ",7", ("line 3", "32 fields")),
        ("", ("line 3", "0 fields")),
        (",".join(["x", *CELLS[1:]]), ("line 3", "Time", "'x'")),
        (",".join([*CELLS[:5], "nan", *CELLS[6:]]), ("line 3", "V5", "nan")),
        (",".join([*CELLS[:29], "1e39", CELLS[30]]), ("line 3", "Amount", "1e39")),
        (",".join([*CELLS[:2], "1_0", *CELLS[3:]]), ("line 3", "V2", "1_0")),
        (",".join([*CELLS[:2], "", *CELLS[3:]]), ("line 3", "V2", "''")),
        (",".join([*CELLS[:30], "2"]), ("line 3", "Class", "'2'")),
        (",".join([*CELLS[:30], '"0']), ("line 3",)),
    ],
)
def test_bad_line_is_named(tmp_path: Path, bad: str, words: tuple[str, ...]) -> None:
    """What is wrong is said with file, line and column."""
    path = csv(tmp_path, HEADER, GOOD, bad)

    with pytest.raises(DatasetError) as error:
        read_creditcard(path)
    assert all(word in str(error.value) for word in (str(path), *words)), error.value


@pytest.mark.parametrize("header", ["", GOOD, HEADER.replace("V7", "V8"), HEADER + ",x"])
def test_other_header(tmp_path: Path, header: str) -> None:
    """A file with other columns is another file."""
    with pytest.raises(DatasetError, match="line 1: must be Time,V1"):
        read_creditcard(csv(tmp_path, header, GOOD))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.csv", None),
        ("bytes.csv", b"\xff\xfe\x00"),
        ("text.csv.gz", b"not gzip"),
        ("cut.csv.gz", gzip.compress(("\n".join([HEADER, GOOD] * 99)).encode())[:200]),
    ],
)
def test_unreadable(tmp_path: Path, name: str, content: bytes | None) -> None:
    """A missing file, other bytes and a broken archive are named."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{name}: cannot be read"):
        read_creditcard(tmp_path / name)


def test_no_transaction(tmp_path: Path) -> None:
    """A header alone is no data."""
    with pytest.raises(DatasetError, match="no transaction"):
        read_creditcard(csv(tmp_path, HEADER))
