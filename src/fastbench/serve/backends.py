"""What executes a model: onnxruntime, or PyTorch for TorchScript when it is installed."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastbench import topology
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


def parse_device(text: str, error: str = "ERR Invalid DEVICE") -> Device:
    """Check the spelling; CommandError with ``error`` otherwise."""
    if not re.fullmatch(r"(?i)[CG]PU(:[0-9]{1,5})?", text):
        raise CommandError(error)
    return Device(text)


def load(backend: str, device: Device, blob: bytes, threads: int) -> Executable:
    """Load a model to run on ``threads`` threads (0 = one per core).

    Raises :class:`CommandError` when the backend is not available or refuses the model.
    """
    if backend == "ONNX":
        return OnnxModel(device, blob, threads)
    _require_torch(backend)
    return TorchModel(device, blob)


def load_functions(device: Device, source: bytes) -> TorchFunctions:
    """Compile a script; raises :class:`CommandError` as :func:`load` does."""
    _require_torch("TORCH")
    return TorchFunctions(device, source)


def _require_torch(backend: str) -> None:
    if backend != "TORCH" or importlib.util.find_spec("torch") is None:
        msg = "ERR Could not load backend"
        raise CommandError(msg)


class OnnxModel:
    """An ONNX graph in onnxruntime, with its default optimisations."""

    def __init__(self, device: Device, blob: bytes, threads: int) -> None:
        """Load the graph; its worker threads do not spin, for the client may share the cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Left to itself, onnxruntime would pin its threads to every core of the machine.
        options.intra_op_num_threads = threads or _cores()
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


def _cores() -> int:
    """Return the number of physical cores that this process may use."""
    allowed = os.sched_getaffinity(0)
    return len(topology.physical_cores(c for c in topology.read() if c.number in allowed)) or 1


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

        self._device = _torch_device(device)
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
        return _run_torch(self._module, "forward", arrays, self._device)

    def stop(self) -> None:
        """PyTorch has no way to do it."""


class TorchFunctions:
    """Functions written in TorchScript, the part of Python that PyTorch compiles."""

    def __init__(self, device: Device, source: bytes) -> None:
        """Compile ``source`` to run on ``device``."""
        import torch

        self._device = _torch_device(device)
        self._unit = torch.jit.CompilationUnit()
        try:
            # The only name from outside: a client's script must not reach this program's own.
            self._unit.define(source.decode("utf-8", "replace"), rcb={"torch": torch}.get)
        except Exception as e:
            raise _backend_error(e) from e

    def parameters(self, function: str) -> list[str] | None:
        """Return the types that a function takes, None where there is no such function."""
        found = self._unit.find_function(function)
        return found and [argument.type.annotation_str for argument in found.schema.arguments]

    def run(self, function: str, arguments: list[Any]) -> list[Array]:
        """Call a function with arrays, lists of arrays or lists of text; return its tensors."""
        return _run_torch(self._unit.find_function(function), function, arguments, self._device)


def _torch_device(device: Device) -> str:
    import torch

    if device.gpu is not None and not torch.cuda.is_available():
        msg = "GPU requested but Torch couldn't find CUDA"
        raise CommandError(msg)
    return "cpu" if device.gpu is None else f"cuda:{device.gpu}"


def _run_torch(call: Any, name: str, arguments: Sequence[Any], device: str) -> list[Array]:
    """Call what PyTorch compiled, without the GIL."""
    import torch

    try:
        with torch.inference_mode():
            returned = call(*(_to_torch(argument, device) for argument in arguments))
            if returned is None:
                return []
            values = returned if isinstance(returned, list | tuple) else [returned]
            if all(isinstance(value, torch.Tensor) for value in values):
                return [value.cpu().numpy() for value in values]
    except Exception as e:
        raise _backend_error(e) from e
    msg = f"Function returned non-tensor values{name}"  # without a space, as RedisAI has it
    raise CommandError(msg)


def _to_torch(argument: Any, device: str) -> Any:
    import torch

    if isinstance(argument, list):
        return [_to_torch(element, device) for element in argument]
    if not isinstance(argument, np.ndarray):
        return argument
    # Copied, for PyTorch warns of arrays that must not be written to.
    return torch.from_numpy(argument.copy()).to(device)


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
