"""What a model is: a file, the backend that runs it, and the tensors that go in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RANDOM_WEIGHTS = "random weights: the cost is real, the predictions mean nothing"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model.

    ``dtype``: NumPy's name, e.g. ``float32``; None = the file does not say.
    ``shape``: None for the whole shape = the file does not say; None for one dimension = any size,
    as the batch dimension usually is.
    """

    name: str
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model file that can be given to a server.

    ``backend``: ``ONNX``, ``TF``, ``TFLITE`` or ``TORCH``, in RedisAI's words.
    ``inputs``, ``outputs``: in the order of the graph; may be empty for TFLITE and TORCH.
    ``random_weights``: its cost is real, its predictions mean nothing.
    ``sha256``: of the file, hexadecimal.
    ``parameters``, ``multiply_adds`` (per sample): None = not counted for this backend.
    """

    name: str
    backend: str
    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    random_weights: bool
    sha256: str
    parameters: int | None
    multiply_adds: int | None


def describe(model: Model) -> list[str]:
    """Return a model's description as lines of text."""
    lines = [
        f"model          {model.name}",
        f"file           {model.path}",
        f"sha256         {model.sha256}",
        f"backend        {model.backend}",
        *(f"input          {_describe_tensor(spec)}" for spec in model.inputs),
        *(f"output         {_describe_tensor(spec)}" for spec in model.outputs),
    ]
    if model.parameters is not None:
        lines.append(f"parameters     {model.parameters:,}")
    if model.multiply_adds is not None:
        lines.append(f"multiply-adds  {model.multiply_adds:,} per sample")
    if model.random_weights:
        lines.append(f"weights        {RANDOM_WEIGHTS}")
    return lines


def _describe_tensor(spec: TensorSpec) -> str:
    sizes = ["N" if size is None else str(size) for size in spec.shape or ()]
    shape = "shape unknown" if spec.shape is None else f"[{', '.join(sizes)}]"
    return f"{spec.name}  {spec.dtype or 'type unknown'}  {shape}"
