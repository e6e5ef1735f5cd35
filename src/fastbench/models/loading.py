"""From a name or a path to a :class:`Model`: which backend, which tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbench.errors import ModelError, NoModelError
from fastbench.models.base import Model, TensorSpec
from fastbench.models.builtin import builtin_names, builtin_path, is_builtin
from fastbench.models.counting import count_graph
from fastbench.models.graphs import WEIGHTS_KEY
from fastbench.models.skeleton import read_skeleton

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

SUFFIXES = {
    ".onnx": "ONNX",
    ".pb": "TF",
    ".tflite": "TFLITE",
    ".pt": "TORCH",
    ".pth": "TORCH",
    ".torchscript": "TORCH",
}

#: What the files of a backend have at a known place: (offset, bytes).
MAGIC = {"TFLITE": (4, b"TFL3"), "TORCH": (0, b"PK\x03\x04")}


def load_model(
    name_or_path: str | Path,
    backend: str | None = None,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
) -> Model:
    """Describe a built-in model or a model file.

    ONNX files name their own tensors. TF (a frozen graph), TFLITE and TORCH (TorchScript) files
    are taken as they are: ``inputs`` and ``outputs`` name the tensors, which TF requires.
    ``backend``: None = from the suffix of the file.

    Raises :class:`ModelError`: no such model, unreadable, backend or names missing or wrong.
    """
    name_or_path = str(name_or_path)  # from Python a Path may be given as well
    path = _path(name_or_path)
    kind = "ONNX" if is_builtin(name_or_path) else backend or _backend_of(path)
    name = name_or_path if is_builtin(name_or_path) else path.stem
    sha256 = _digest(path)
    if kind == "ONNX":
        return _onnx_model(name, path, sha256, inputs, outputs)
    return _opaque_model(name, path, sha256, kind, inputs, outputs)


def _path(name_or_path: str) -> Path:
    if is_builtin(name_or_path):
        return builtin_path(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(builtin_names())
        msg = f"no model {name_or_path!r}: neither a file nor one of the built-in {names}"
        raise NoModelError(msg)
    return path


def _backend_of(path: Path) -> str:
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        msg = f"model {path}: the suffix does not tell the backend: give --backend"
        raise ModelError(msg) from None


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file that can be read and is not empty."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        empty = path.stat().st_size == 0
    except OSError as e:
        msg = f"model {path} cannot be read: {e.strerror or e}"
        raise NoModelError(msg) from e
    if empty:
        msg = f"model {path} is empty"
        raise ModelError(msg)
    return digest.hexdigest()


def _opaque_model(
    name: str,
    path: Path,
    sha256: str,
    backend: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> Model:
    if backend not in SUFFIXES.values():
        known = ", ".join(sorted(set(SUFFIXES.values())))
        msg = f"model {path}: unknown backend {backend!r}: there are {known}"
        raise ModelError(msg)
    offset, magic = MAGIC.get(backend, (0, b""))
    if not _begins(path, offset, magic):
        msg = f"model {path} is not a {backend} file: give the right --backend"
        raise ModelError(msg)
    if backend == "TF" and not (inputs and outputs):
        msg = f"model {path}: a TF graph needs the names of its tensors: --input and --output"
        raise ModelError(msg)
    return Model(
        name=name,
        backend=backend,
        path=path,
        inputs=tuple(map(TensorSpec, inputs)),
        outputs=tuple(map(TensorSpec, outputs)),
        random_weights=False,
        sha256=sha256,
        parameters=None,
        multiply_adds=None,
    )


def _onnx_model(
    name: str, path: Path, sha256: str, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Model:
    proto = _parse_onnx(path)
    weights = {tensor.name for tensor in proto.graph.initializer}
    takes = _specs(value for value in proto.graph.input if value.name not in weights)
    gives = _specs(proto.graph.output)
    _check_names(path, "--input", inputs, takes)
    _check_names(path, "--output", outputs, gives)
    parameters, multiply_adds = count_graph(proto)
    return Model(
        name=name,
        backend="ONNX",
        path=path,
        inputs=takes,
        outputs=gives,
        random_weights=any(entry.key == WEIGHTS_KEY for entry in proto.metadata_props),
        sha256=sha256,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )


def _begins(path: Path, offset: int, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(offset + len(magic))[offset:] == magic


def _parse_onnx(path: Path) -> onnx.ModelProto:
    """Return the model without the numbers of its large tensors: it may be huge."""
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(read_skeleton(path))
    except (DecodeError, ValueError) as e:
        msg = f"model {path} is not an ONNX file, or it is truncated"
        raise ModelError(msg) from e
    if not proto.graph.node:
        msg = f"model {path} is not an ONNX file: it holds no graph"
        raise ModelError(msg)
    return proto


def _check_names(
    path: Path, option: str, given: tuple[str, ...], found: tuple[TensorSpec, ...]
) -> None:
    names = tuple(spec.name for spec in found)
    if given and given != names:
        msg = f"model {path}: {option} {' '.join(given)}: the file says {' '.join(names)}"
        raise ModelError(msg)


def _specs(values: Iterable[Any]) -> tuple[TensorSpec, ...]:
    from onnx import helper

    specs = []
    for value in values:
        tensor = value.type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        shape = tuple(d.dim_value or None for d in tensor.shape.dim)
        specs.append(TensorSpec(value.name, dtype, shape if tensor.HasField("shape") else None))
    return tuple(specs)
