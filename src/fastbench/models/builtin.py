"""The models that fastbench builds itself, and the folder that keeps them between runs."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from fastbench.cache import cache_folder
from fastbench.errors import ModelError
from fastbench.models import bert, fraud, fraud_torch, inception, mnist, mobilenet, tiny
from fastbench.models.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

#: Name → what builds it.
BUILTIN: dict[str, Callable[[], onnx.ModelProto]] = {
    "mobilenet_v1_100_224": mobilenet.build,
    "mobilenet_v1_100_224_nchw": functools.partial(mobilenet.build, layout="nchw"),
    "fraud": functools.partial(fraud.build, reference=True),
    "fraud_noreference": functools.partial(fraud.build, reference=False),
    "mean_rgb_224": tiny.mean_rgb,
    "identity": tiny.identity,
    "mnist_cnn": mnist.build,
    "inception_v2_224": inception.build,
    "bert_base_cased": bert.build,
}

#: Those whose layers can be made narrower: ``bert_base_cased@0.1`` has a tenth of the width.
SCALABLE: dict[str, Callable[[float], onnx.ModelProto]] = {
    "mnist_cnn": mnist.build,
    "inception_v2_224": inception.build,
    "bert_base_cased": bert.build,
}
_SCALE = re.compile(r"0\.[0-9]{1,3}")  # below 1, above 0

#: The same for those that there are as TorchScript too.
TORCHSCRIPT: dict[str, Callable[[], bytes]] = {
    "fraud": functools.partial(fraud_torch.build_torchscript, reference=True),
    "fraud_noreference": functools.partial(fraud_torch.build_torchscript, reference=False),
}

#: Part of every cached file's name: raise it whenever a graph or a weight changes.
RECIPE = 1


def is_builtin(name: str) -> bool:
    """Tell whether :func:`build_file` can make a model of this name."""
    return name in BUILTIN or _scaled(name) is not None


def builtin_names() -> tuple[str, ...]:
    """Names that :func:`~fastbench.models.loading.load_model` takes beside file names."""
    return tuple(BUILTIN)


def builtin_path(name: str) -> Path:
    """Return the file of a built-in model, built first where it is not in the cache."""
    path = cache_folder() / "models" / f"{name}-{RECIPE}.onnx"
    if not path.is_file():
        build_file(name, path)
    return path


def build_file(name: str, path: Path, backend: str = "ONNX") -> None:
    """Write a built-in model to ``path``: whole or not at all; ONNX always the same bytes.

    ``backend``: ``ONNX``, or ``TORCH`` for the models that there are as TorchScript.
    Raises :class:`ModelError` for an unknown name or backend, where PyTorch is needed and
    missing, or for a folder that cannot be written.
    """
    data = _build(name, backend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [data])
    except OSError as e:
        msg = f"model {name} cannot be written to {path}: {e.strerror or e}"
        raise ModelError(msg) from e


def _build(name: str, backend: str) -> bytes:
    build = BUILTIN.get(name) or _scaled(name)
    if build is None:
        msg = f"no built-in model {name!r}: there are {', '.join(BUILTIN)}"
        raise ModelError(msg)
    if backend == "ONNX":
        data: bytes = build().SerializeToString(deterministic=True)
        return data
    if backend != "TORCH" or name not in TORCHSCRIPT:
        also = f", as TORCH too there are {', '.join(TORCHSCRIPT)}"
        msg = f"--backend {backend}: model {name} is built as ONNX{also}"
        raise ModelError(msg)
    return TORCHSCRIPT[name]()


def _scaled(name: str) -> Callable[[], onnx.ModelProto] | None:
    """Return what builds ``NAME@SCALE``, None where there is no such model."""
    base, _, scale = name.partition("@")
    if base not in SCALABLE or not _SCALE.fullmatch(scale) or not float(scale):
        return None
    return functools.partial(SCALABLE[base], float(scale))
