"""Kaggle's ``creditcard.csv``, plain or gzipped, read strictly: every line must be whole."""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from typing import IO, TYPE_CHECKING

import numpy as np

from fastbench.datasets.transactions import COLUMNS
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.datasets.transactions import Floats, Labels

HEADER = [*COLUMNS, "Class"]
_LARGEST = float(np.finfo(np.float32).max)


def read_creditcard(path: Path) -> tuple[Floats, Labels]:
    """Return all transactions of a file, float32 (n, 30), and their classes, uint8 (n,).

    Raises :class:`DatasetError` naming the line that is not as it must be.
    """
    values, labels = array("f"), bytearray()
    try:
        with _open(path) as file:
            for numbers, label in _rows(path, file):
                values.extend(numbers)
                labels.append(label)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        msg = f"{path}: cannot be read: {why}"
        raise NoDatasetError(msg) from error
    if not labels:
        msg = f"{path}: holds no transaction, only the header"
        raise DatasetError(msg)
    table = np.array(values, "<f4").reshape(-1, len(COLUMNS))
    return table, np.frombuffer(bytes(labels), np.uint8)


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[list[float], int]]:
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if header != HEADER:
            found = ",".join(header)[:80] or "nothing"
            msg = f"{path}: line 1: must be Time,V1,...,V28,Amount,Class, is {found!r}"
            raise DatasetError(msg)
        for fields in reader:
            yield _parse(path, reader.line_num, fields)
    except csv.Error as error:
        msg = f"{path}: line {reader.line_num}: {error}"
        raise DatasetError(msg) from error


def _parse(path: Path, line: int, fields: list[str]) -> tuple[list[float], int]:
    if len(fields) != len(HEADER):
        msg = f"{path}: line {line}: {len(fields)} fields, must be {len(HEADER)}"
        raise DatasetError(msg)
    *texts, label = fields
    numbers = [_number(text) for text in texts]
    for name, text, number in zip(COLUMNS, texts, numbers, strict=True):
        if not -_LARGEST <= number <= _LARGEST:
            msg = f"{path}: line {line}: {name} is {text[:40]!r}, must be a finite number"
            raise DatasetError(msg)
    if label not in {"0", "1"}:
        msg = f"{path}: line {line}: Class is {label[:40]!r}, must be 0 or 1"
        raise DatasetError(msg)
    return numbers, int(label)


def _number(text: str) -> float:
    """Return the number; not a number where the text is none, or is one only to Python."""
    try:
        return float(text) if "_" not in text and text == text.strip() else float("nan")
    except ValueError:
        return float("nan")
