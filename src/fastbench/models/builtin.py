"""The models that fastbench builds itself, and the folder that keeps them between runs."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fastbench.cache import cache_folder
from fastbench.errors import ModelError
from fastbench.models import mobilenet, tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

#: Name → what builds it. The first is the default of ``fastbench run``.
BUILTIN: dict[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet_v1_100_224": mobilenet.build,
    "mobilenet_v1_100_224_nchw": functools.partial(mobilenet.build, layout="nchw"),
    "mean_rgb_224": tiny.mean_rgb,
    "identity": tiny.identity,
}

#: Part of every cached file's name: raise it whenever a graph or a weight changes.
RECIPE = 1


def builtin_names() -> tuple[str, ...]:
    """Names that :func:`~fastbench.models.loading.load_model` takes beside file names."""
    return tuple(BUILTIN)


def builtin_path(name: str) -> Path:
    """Return the file of a built-in model, built first where it is not in the cache."""
    path = cache_folder() / "models" / f"{name}-{RECIPE}.onnx"
    if not path.is_file():
        build_file(name, path)
    return path


def build_file(name: str, path: Path) -> None:
    """Write a built-in model to ``path``: whole or not at all, always the same bytes.

    Raises :class:`ModelError` for an unknown name or a folder that cannot be written.
    """
    if name not in BUILTIN:
        msg = f"no built-in model {name!r}: there are {', '.join(BUILTIN)}"
        raise ModelError(msg)
    data = BUILTIN[name]().SerializeToString(deterministic=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(path, data)
    except OSError as e:
        msg = f"model {name} cannot be written to {path}: {e.strerror or e}"
        raise ModelError(msg) from e


def _write_atomically(path: Path, data: bytes) -> None:
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
