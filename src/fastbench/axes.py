"""What a sweep varies: axes and lists of cells, from text to settings of a configuration."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbench.errors import UsageError
from fastbench.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastbench.config import RunConfig
    from fastbench.sweeps import Setting

#: Field of :class:`RunConfig` by the name of its option.
FIELDS = {
    "rate": "rate_per_s",
    "connections": "connections",
    "threads": "threads",
    "pipeline": "pipeline",
    "batch": "batch",
    "server-batch": "server_batch",
    "server-min-batch": "server_min_batch",
    "server-min-batch-timeout": "server_min_batch_timeout_ms",
    "target": "target",
    "workload": "workload",
    "dataset": "dataset",
    "model": "model",
    "form": "form",
    "body": "body",
}
#: Those of them whose values are text, and say what is measured.
TEXTS = ("target", "workload", "dataset", "model", "form", "body")
MAX_CELLS = 10_000

_NUMBER = r"\d+(?:\.\d+)?(?:[eE]\+?\d+)?"
#: Between two targets: one of them may itself name several servers, with commas.
_NEXT_TARGET = re.compile(r",(?=[a-z+]+://|embedded:)")
_SLUG_CHARACTERS = 60
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})([x+])({_NUMBER})", re.ASCII)

#: The settings of one cell, by the names of their options.
Settings = dict[str, "Setting"]


def parse_axes(texts: Iterable[str]) -> dict[str, list[Setting]]:
    """Parse ``connections=1,2,4``, ``connections=1..64x2`` and ``rate=100..1000+100``.

    Raises :class:`UsageError` naming the text and how to write it.
    """
    axes: dict[str, list[Setting]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip()
        _check_name("--over", name)
        if not equals or name in axes:
            raise _wrong(text, "given twice" if equals else f"write --over {name}=1,2,4")
        axes[name] = values_of(f"--over {text}", name, values)
    return axes


def values_of(where: str, name: str, text: str) -> list[Setting]:
    """Return the values that ``text`` lists for the setting ``name``.

    Raises :class:`UsageError` that begins with ``where`` and says how to write it.
    """
    parts = _NEXT_TARGET.split(text) if name == "target" else text.split(",")
    values = list(itertools.chain(*(_values(where, name, part) for part in parts)))
    if len(set(values)) < len(values):
        msg = f"{where}: has the same value twice"
        raise UsageError(msg)
    return values


def factorial(axes: Mapping[str, list[Setting]]) -> list[Settings]:
    """Return every combination of the values, the last axis changing fastest.

    Raises :class:`UsageError` where there are more than 10,000.
    """
    count = math.prod(len(values) for values in axes.values())
    if count > MAX_CELLS:
        msg = f"--over: {count:,} cells, at most {MAX_CELLS:,} are possible: take fewer values"
        raise UsageError(msg)
    combinations = itertools.product(*axes.values())
    return [dict(zip(axes, values, strict=True)) for values in combinations]


def read_cells(path: Path) -> list[Settings]:
    """Read a list of cells: CSV with a header of names, or one JSON object a line.

    All cells set the same names. Raises :class:`UsageError` naming the line and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--cells {path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
    rows = _json_rows(path, text) if text.lstrip().startswith("{") else _csv_rows(path, text)
    cells = [_cell(f"--cells {path}, line {line}", row) for line, row in rows]
    if not 1 <= len(cells) <= MAX_CELLS:
        msg = f"--cells {path}: has {len(cells)} cells, 1 to {MAX_CELLS:,} are possible"
        raise UsageError(msg)
    _check_alike(path, cells)
    return cells


def cell_name(settings: Mapping[str, Setting]) -> str:
    """Return the name of a cell's folder: ``connections-4_pipeline-1``."""
    return "_".join(f"{name}-{_slug(value)}" for name, value in settings.items())


def _slug(value: Setting) -> str:
    """Return it for the name of a folder: a URL without what has a meaning there."""
    plain = re.sub(r"[^A-Za-z0-9.+]+", "-", str(value)).strip("-.")
    return plain[:_SLUG_CHARACTERS] if isinstance(value, str) else str(value)


def configure(base: RunConfig, settings: Mapping[str, Setting]) -> RunConfig:
    """Return ``base`` with these settings.

    Raises :class:`UsageError` naming the cell where they do not fit together.
    """
    fields: dict[str, Any] = {FIELDS[name]: value for name, value in settings.items()}
    if "dataset" in settings:
        fields["dataset"] = Path(str(settings["dataset"]))
    try:
        return dataclasses.replace(base, **fields)
    except UsageError as error:
        msg = f"cell {cell_name(settings)}: {error}; list the cells that you mean with --cells"
        raise UsageError(msg) from error


def _values(where: str, name: str, part: str) -> list[Setting]:
    """Return one value, or those of a range up to and with its end."""
    match = None if name in TEXTS else _RANGE.fullmatch(part.strip())
    if match is None:
        return [_value(where, name, part.strip())]
    low, high, step = float(match[1]), float(match[2]), float(match[4])
    grows = step > 1 and low > 0 if match[3] == "x" else step > 0
    if low > high or not grows:
        msg = f"{where}: a range is LOW..HIGHxFACTOR or LOW..HIGH+STEP and must rise"
        raise UsageError(msg)
    return _whole(name, _steps(where, low, high, match[3], step))


def _steps(where: str, low: float, high: float, how: str, step: float) -> list[float]:
    span = math.log(high / low, step) if how == "x" else (high - low) / step
    count = math.floor(span + 1e-9) + 1
    if count > MAX_CELLS:
        msg = f"{where}: has more than {MAX_CELLS:,} values"
        raise UsageError(msg)
    return [low * step**i if how == "x" else low + step * i for i in range(count)]


def _whole(name: str, values: list[float]) -> list[Setting]:
    """Round what is counted; the rate keeps 12 digits, so that 0.1 + 0.2 is 0.3."""
    if name == "rate":
        return [float(f"{value:.12g}") for value in values]
    return list(dict.fromkeys(round(value) for value in values))


def _value(where: str, name: str, text: str) -> Setting:
    if name in TEXTS:
        return _text_value(where, name, text)
    pattern = _NUMBER if name == "rate" else r"\d+"
    if re.fullmatch(pattern, text, re.ASCII) is None:
        kind = "a number" if name == "rate" else "a whole number"
        msg = f"{where}: {text!r} is not {kind}; ranges are LOW..HIGHxFACTOR or LOW..HIGH+STEP"
        raise UsageError(msg)
    return float(text) if name == "rate" else int(text)


def _text_value(where: str, name: str, text: str) -> str:
    if not text:
        msg = f"{where}: a {name} is empty; write them with commas between"
        raise UsageError(msg)
    if name == "target":
        parse_target(text)  # better now than when its turn comes
    return text


def _json_rows(path: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    rows = []
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            msg = f"--cells {path}, line {line}: is not JSON: {error}"
            raise UsageError(msg) from error
        if not isinstance(row, dict):
            msg = f'--cells {path}, line {line}: must be an object, e.g. {{"connections": 4}}'
            raise UsageError(msg)
        rows.append((line, {name: str(value) for name, value in row.items()}))
    return rows


def _csv_rows(path: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if not lines:
        msg = f"--cells {path}: is empty; begin with a line of names: connections,pipeline"
        raise UsageError(msg)
    names = [name.strip() for name in lines[0][1]]
    for line, row in lines[1:]:
        if len(row) != len(names):
            msg = f"--cells {path}, line {line}: has {len(row)} values for {len(names)} names"
            raise UsageError(msg)
    return [(line, dict(zip(names, row, strict=True))) for line, row in lines[1:]]


def _cell(where: str, row: dict[str, str]) -> Settings:
    for name in row:
        _check_name(where, name)
    return {name: _value(where, name, text.strip()) for name, text in row.items()}


def _check_alike(path: Path, cells: list[Settings]) -> None:
    names = [cell_name(cell) for cell in cells]
    twice = {name for name in names if names.count(name) > 1}
    if any(set(cell) != set(cells[0]) for cell in cells):
        msg = f"--cells {path}: every cell must set the same names as the first"
        raise UsageError(msg)
    if twice or not cells[0]:
        msg = f"--cells {path}: {min(twice)} is there twice" if twice else f"--cells {path}: empty"
        raise UsageError(msg)


def _check_name(where: str, name: str) -> None:
    if name not in FIELDS:
        msg = f"{where}: {name!r} cannot be varied; there are {', '.join(FIELDS)}"
        raise UsageError(msg)


def _wrong(text: str, how: str) -> UsageError:
    return UsageError(f"--over {text!r}: {how}")
