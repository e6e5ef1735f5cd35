"""Does a model take the rows of a dataset? Asked before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fastbench.datasets.rows import Rows
    from fastbench.models.base import Model, TensorSpec

    Shape = tuple[int | None, ...]

#: Where the axes of images in one layout stand in the other: (takes, has) -> axes.
_LAYOUTS = {("nchw", "nhwc"): (0, 3, 1, 2), ("nhwc", "nchw"): (0, 2, 3, 1)}
_IMAGE_AXES = 4


def check_fit(model: Model, inputs: Sequence[Rows], batch: int, folder: Path) -> None:
    """Check a model file as :func:`check_inputs` does."""
    check_inputs(model.name, model.inputs, inputs, batch, folder)


def check_batch(name: str, most: int, batch: int) -> None:
    """Raise :class:`UsageError` where the model ``name`` takes fewer samples in one inference.

    ``most``: that it takes; 0 = not known.
    """
    if 0 < most < batch:
        msg = (
            f"--batch {batch}: model {name} takes at most {most} samples in one inference "
            f"(max_batch_size): use --batch {most} or less"
        )
        raise UsageError(msg)


def check_inputs(
    name: str, takes: Sequence[TensorSpec], inputs: Sequence[Rows], batch: int, folder: Path
) -> None:
    """Raise :class:`ModelError` when the model ``name`` cannot take the rows of a dataset.

    ``takes``: the inputs of the model, empty = not known; ``inputs``: the rows for each, in that
    order; ``folder``: of the dataset.
    """
    if takes and len(takes) != len(inputs):
        names = ", ".join(spec.name for spec in takes)
        msg = (
            f"model {name} takes {len(takes)} inputs ({names}), and {len(inputs)} "
            "would be sent: choose another --model or --workload"
        )
        raise ModelError(msg)
    for spec, rows in zip(takes, inputs, strict=False):
        _check_input(name, spec, rows, batch, folder)
    for rows in inputs:
        if batch > rows.rows:
            msg = f"--batch {batch}: the dataset {folder} has only {rows.rows} rows"
            raise UsageError(msg)


def _check_input(name: str, spec: TensorSpec, rows: Rows, batch: int, folder: Path) -> None:
    wanted, given = spec.shape, (batch, *rows.row_shape)
    if (wanted is not None and not _fits(wanted, given)) or spec.dtype not in {None, rows.dtype}:
        msg = (
            f"model {name} takes {spec.dtype} {_dims(wanted)}, but the dataset "
            f"{folder} with --batch {batch} gives {rows.dtype} {_dims(given)}: "
            f"{_advice(wanted, given)}"
        )
        raise ModelError(msg)


def _fits(wanted: Shape, given: tuple[int, ...]) -> bool:
    return len(wanted) == len(given) and all(
        w is None or w == g for w, g in zip(wanted, given, strict=True)
    )


def _advice(wanted: Shape | None, given: tuple[int, ...]) -> str:
    for (takes, has), axes in _LAYOUTS.items():
        if len(given) == _IMAGE_AXES and wanted and _fits(wanted, tuple(given[a] for a in axes)):
            return (
                f"it takes {takes.upper()}, the rows are {has.upper()}: build the dataset by "
                f"'fastbench data vision --layout {takes}'"
            )
    return "build the dataset with another --layout, or choose another model or --batch"


def _dims(shape: Shape | None) -> str:
    if shape is None:
        return "of any shape"
    return "x".join("N" if size is None else str(size) for size in shape)
