"""Dataset rows as JSON, rendered once before the run: the engine sends them like any other rows.

Every number has the same width, so that all bodies are equally long: ``%15.8e``, nine significant
digits, from which float32 comes back exactly (IEEE 754: 9 are enough).
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from typing import IO, TYPE_CHECKING

import numpy as np

from fastbench.errors import DatasetError
from fastbench.plan import Data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastbench.datasets.rows import Rows
    from fastbench.servers.http_messages import JsonForm

NUMBER = "%15.8e"
_WIDTH = 15
_ROOM = 0.9  # of what is free that may be used


@contextlib.contextmanager
def json_bodies(rows: Rows, batch: int, form: JsonForm) -> Iterator[Data]:
    """Render a body for each ``batch`` rows; the file goes with the block.

    Raises :class:`DatasetError` for NaN and infinities, which JSON does not have, and where the
    bodies do not fit into the folder for temporary files.
    """
    template = template_of((batch, *rows.row_shape), form)
    count, each = rows.rows // batch, len(template % zeros(rows, batch))
    with contextlib.ExitStack() as stack:
        try:
            _check_room(count * each)
            file = stack.enter_context(tempfile.TemporaryFile(prefix="fastbench-json-"))
            _render(rows, batch, count, template, file)
        except OSError as error:
            msg = f"{tempfile.gettempdir()}: cannot hold the JSON bodies: {error.strerror}"
            raise DatasetError(msg) from error
        yield Data(file.fileno(), 0, each, count)


def template_of(shape: tuple[int, ...], form: JsonForm) -> str:
    """Return a format of as many numbers as ``shape`` has, nested as it says or flat."""
    nested = NUMBER
    for size in reversed((math.prod(shape),) if form.flat else shape):
        nested = "[" + ",".join([nested] * size) + "]"
    before, after = (text.replace("%", "%%") for text in (form.before, form.after))
    return f"{before}{nested}{after}"


def zeros(rows: Rows, batch: int) -> tuple[float, ...]:
    """Return as many numbers as one body holds."""
    return (0.0,) * (batch * math.prod(rows.row_shape))


def _check_room(wanted: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if wanted > free * _ROOM:
        msg = (
            f"the dataset's rows take {wanted / 1e9:.1f} GB as JSON, {folder} has "
            f"{free / 1e9:.1f} GB free: use a smaller dataset, --body raw, or another TMPDIR"
        )
        raise DatasetError(msg)


def _render(rows: Rows, batch: int, count: int, template: str, file: IO[bytes]) -> None:
    array = rows.array()
    for index in range(count):
        values = np.asarray(array[index * batch : (index + 1) * batch])
        if not np.isfinite(values).all():
            msg = (
                f"rows {index * batch} to {(index + 1) * batch - 1} of {rows.data_path} hold NaN "
                "or infinity, which JSON does not have: send them as bytes, or leave them out"
            )
            raise DatasetError(msg)
        file.write((template % tuple(values.ravel().tolist())).encode())
    file.flush()
