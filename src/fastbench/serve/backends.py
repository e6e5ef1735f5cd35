"""What executes a model: onnxruntime, or PyTorch for TorchScript when it is installed."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastbench.serve.resp import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.serve.tensors import Array

BACKENDS = ("TF", "TFLITE", "TORCH", "ONNX")


class Executable(Protocol):
    """A loaded model. ``run`` is called by worker threads, several at a time."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Execute; raise :class:`CommandError` with the backend's own words when it fails."""

    def stop(self) -> None:
        """Make the runs that are under way end soon."""


@dataclass(frozen=True, slots=True)
class Device:
    """``CPU``, ``GPU``, ``CPU:n`` or ``GPU:n``; ``text`` is how the client spelt it."""

    text: str

    @property
    def name(self) -> str:
        """In upper case: one queue each."""
        return self.text.upper()

    @property
    def gpu(self) -> int | None:
        """Number of the GPU, or None for a CPU."""
        kind, _, number = self.name.partition(":")
        return int(number or 0) if kind == "GPU" else None


def parse_device(text: str) -> Device:
    """Check the spelling; CommandError otherwise."""
    if not re.fullmatch(r"(?i)[CG]PU(:[0-9]{1,5})?", text):
        msg = "ERR Invalid DEVICE"
        raise CommandError(msg)
    return Device(text)


def load(backend: str, device: Device, blob: bytes, threads: int) -> Executable:
    """Load a model to run on ``threads`` threads (0 = one per core).

    Raises :class:`CommandError` when the backend is not available or refuses the model.
    """
    if backend == "ONNX":
        return OnnxModel(device, blob, threads)
    if backend == "TORCH" and importlib.util.find_spec("torch"):
        return TorchModel(device, blob)
    msg = "ERR Could not load backend"
    raise CommandError(msg)


class OnnxModel:
    """An ONNX graph in onnxruntime, with its default optimisations."""

    def __init__(self, device: Device, blob: bytes, threads: int) -> None:
        """Load the graph; its worker threads do not spin, for the client may share the cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = _providers(device)
        try:
            self._session = onnxruntime.InferenceSession(blob, options, providers=providers)
        except Exception as e:  # onnxruntime raises a dozen unrelated classes
            raise _backend_error(e) from e
        self._run_options = onnxruntime.RunOptions()
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Execute the graph, without the GIL."""
        feed = {n: _to_onnx(a) for n, a in zip(self.inputs, arrays, strict=True)}
        try:
            outputs = self._session.run(None, feed, self._run_options)
        except Exception as e:
            raise _backend_error(e) from e
        return [_from_onnx(output) for output in outputs]

    def stop(self) -> None:
        """Ask onnxruntime to end after the node that it is in."""
        self._run_options.terminate = True


def _providers(device: Device) -> list[Any]:
    import onnxruntime

    if device.gpu is None:
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        msg = "ERR GPU requested but ONNX couldn't find CUDA"
        raise CommandError(msg)
    return [("CUDAExecutionProvider", {"device_id": device.gpu}), "CPUExecutionProvider"]


def _to_onnx(array: Array) -> Array:
    if not array.dtype.hasobject:
        return array
    texts = [value.decode("utf-8", "replace") for value in array.flat]
    return np.array(texts, object).reshape(array.shape)


def _from_onnx(array: Array) -> Array:
    if not array.dtype.hasobject:
        return array
    return np.array([text.encode() for text in array.flat], object).reshape(array.shape)


class TorchModel:
    """A TorchScript module."""

    def __init__(self, device: Device, blob: bytes) -> None:
        """Load the module onto ``device``."""
        import io

        import torch

        if device.gpu is not None and not torch.cuda.is_available():
            msg = "ERR GPU requested but TORCH couldn't find CUDA"
            raise CommandError(msg)
        self._device = "cpu" if device.gpu is None else f"cuda:{device.gpu}"
        try:
            self._module = torch.jit.load(io.BytesIO(blob), map_location=self._device).eval()
        except Exception as e:
            raise _backend_error(e) from e
        names = [value.debugName() for value in self._module.graph.inputs()][1:]  # without self
        self.inputs = tuple(name.split(".")[0] for name in names)
        returned = next(self._module.graph.outputs()).type()
        count = len(returned.elements()) if returned.kind() == "TupleType" else 1
        self.outputs = ("",) * count

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Execute the module, without the GIL."""
        import torch

        try:
            with torch.inference_mode():
                # Copied, for PyTorch warns of arrays that must not be written to.
                tensors = [torch.from_numpy(a.copy()).to(self._device) for a in arrays]
                outputs = self._module(*tensors)
        except Exception as e:
            raise _backend_error(e) from e
        if isinstance(outputs, torch.Tensor):
            outputs = [outputs]
        return [output.cpu().numpy() for output in outputs]

    def stop(self) -> None:
        """PyTorch has no way to do it."""


def _backend_error(error: Exception) -> CommandError:
    """Return the error as the backend's C API words it: on one line, without Python's prefix."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", str(error))
    return CommandError(text.replace("\n", " "))


@functools.cache
def onnxruntime_version() -> str:
    """Return the version, or NA where it is missing."""
    try:
        return importlib.metadata.version("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        return "NA"
