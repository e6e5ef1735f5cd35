"""RedisAI: loading and checking a model over the control plane, and what the engine sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.errors import ModelError, ServerError, UsageError
from fastbench.plan import Stream
from fastbench.results import TargetInfo
from fastbench.servers.data import file_data
from fastbench.servers.model_keys import numbered, numbers_of
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.redisai_messages import MESSAGES, Inference, set_once_message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastbench.config import RunConfig, TlsConfig
    from fastbench.datasets.rows import Rows
    from fastbench.models.base import Model, TensorSpec
    from fastbench.servers.redisai_messages import Keys
    from fastbench.targets import Target


#: NumPy's name of a type → RedisAI's, and back.
DTYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "bool": "BOOL",
    **{name: name.upper() for name in ("int8", "int16", "int32", "int64", "uint8", "uint16")},
}
NUMPY_TYPES = {name: numpy_name for numpy_name, name in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in the server: its key, and the output of its first answer.

    With ``--models`` the keys are ``key:0`` and so on, and the difference is the largest.
    """

    key: str
    output_bytes: int
    max_abs_difference: float | None


class RedisAI(RedisServer):
    """One RedisAI server; use as a context manager.

    Raises, besides what :class:`RedisServer` does, :class:`ServerError` when it is not RedisAI.
    """

    def __init__(self, target: Target, tls: TlsConfig | None = None) -> None:
        """Connect to ``target`` and make sure that it speaks RedisAI."""
        super().__init__(target, tls)
        if not self.is_null_server:
            self._require_redisai()

    def describe(self, model: Model, device: str, loaded: Loaded) -> TargetInfo:
        """Return what is known about the target for the result."""
        return TargetInfo(
            url=self.target.url,
            kind="redisai",
            server=self.name,
            protocol="RESP2",
            model=model.name,
            backend=model.backend,
            device=device,
            model_sha256=model.sha256,
            random_weights=model.random_weights,
            check_max_abs_difference=loaded.max_abs_difference,
            details=self.details,
        )

    def load(
        self,
        model: Model,
        device: str,
        *,
        key: str | None = None,
        tag: str = "",
        batch: int = 0,
        min_batch: int = 0,
        min_batch_timeout_ms: int = 0,
    ) -> str:
        """Store ``model`` on ``device`` (``cpu``, ``gpu``, ``gpu:1``) and return its key.

        ``tag``: kept beside it, empty = none. ``batch``, ``min_batch``, ``min_batch_timeout_ms``:
        BATCHSIZE, MINBATCHSIZE and MINBATCHTIMEOUT; 0 = not.
        Raises :class:`ModelError` with the server's words when it refuses.
        """
        key = key or f"fastbench:{model.name}"
        arguments: list[Any] = ["AI.MODELSTORE", key, model.backend, device.upper()]
        arguments += ["TAG", tag] if tag else []
        arguments += ["BATCHSIZE", batch] if batch else []
        arguments += ["MINBATCHSIZE", min_batch] if min_batch else []
        arguments += ["MINBATCHTIMEOUT", min_batch_timeout_ms] if min_batch_timeout_ms else []
        if model.backend == "TF":
            arguments += ["INPUTS", len(model.inputs), *(t.name for t in model.inputs)]
            arguments += ["OUTPUTS", len(model.outputs), *(t.name for t in model.outputs)]
        try:
            self.execute_with_file([*arguments, "BLOB"], model.path)
        except ServerError as e:
            msg = f"{self.target.url} refused model {model.name} on {device}: {e}"
            raise ModelError(msg) from e
        return key

    def infer(self, key: str, *inputs: NDArray[Any], outputs: int = 1) -> NDArray[Any]:
        """Run the model once over the control plane; return the first of its ``outputs``."""
        takes = [f"fastbench:check:{{in}}:{i}" for i in range(len(inputs))]
        gives = [f"fastbench:check:{{in}}:out{i}" for i in range(outputs)]
        for name, array in zip(takes, inputs, strict=True):
            self.set_tensor(name, array)
        self.execute(
            *("AI.MODELEXECUTE", key, "INPUTS", len(takes), *takes, "OUTPUTS", outputs, *gives)
        )
        reply = self.execute("AI.TENSORGET", gives[0], "META", "BLOB")
        self.execute("DEL", *takes, *gives)
        if isinstance(reply, bytes):  # the null server knows no shapes
            return np.frombuffer(reply, dtype=np.float32)
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        dtype = NUMPY_TYPES[fields[b"dtype"].decode()]
        return np.frombuffer(fields[b"blob"], dtype=dtype).reshape(fields[b"shape"])

    def set_tensor(self, key: str, array: NDArray[Any]) -> None:
        """Store ``array`` under ``key``; its type must be one of DTYPES."""
        blob = array.tobytes()
        self.execute("AI.TENSORSET", key, DTYPES[array.dtype.name], *array.shape, "BLOB", blob)

    def stream(self, config: RunConfig, rows: Rows, loaded: Loaded, keys: Keys) -> Stream:
        """Return what the engine sends: one inference in the form and dialect asked for.

        ``rows``: sent in turn. ``keys``: under which names an inference has its tensors.
        """
        inference = Inference(
            model_key=loaded.key if config.models == 1 else numbered(loaded.key),
            dtype=DTYPES[rows.dtype],
            batch=config.batch,
            shape=rows.row_shape,
            row_bytes=rows.row_bytes,
            output_bytes=loaded.output_bytes,
            dialect=config.dialect,
            keys=keys,
        )
        set_once = (set_once_message(inference),) if config.form == "execute" else ()
        return Stream(
            addresses=(self.address,),
            connections=config.total_connections,
            pipeline=config.pipeline,
            messages=(MESSAGES[config.form](inference),),
            opening=(*self.opening(), *set_once),
            data=(file_data(rows),),
            keys=() if config.models == 1 else (numbers_of(config.models),),
            tls=self.tls,
            redisai=True,
        )

    def _require_redisai(self) -> None:
        try:
            self.execute("AI.MODELGET", "fastbench:no-such-model", "META")
        except ServerError as e:
            if "unknown command" in str(e).lower():
                msg = (
                    f"{self.target.url} is {self.name} without the RedisAI module: "
                    "load redisai.so into it, or choose another target"
                )
                raise ServerError(msg) from e


def check_fit(model: Model, inputs: Sequence[Rows], batch: int, folder: Path) -> None:
    """Raise :class:`ModelError` when the model cannot take the rows of a dataset.

    ``inputs``: of each input of the model, in its order; ``folder``: of the dataset.
    """
    if model.inputs and len(model.inputs) != len(inputs):
        names = ", ".join(spec.name for spec in model.inputs)
        msg = (
            f"model {model.name} takes {len(model.inputs)} inputs ({names}), and {len(inputs)} "
            "would be sent: choose another --model or --workload"
        )
        raise ModelError(msg)
    for spec, rows in zip(model.inputs, inputs, strict=False):
        _check_input(model, spec, rows, batch, folder)


def _check_input(model: Model, spec: TensorSpec, rows: Rows, batch: int, folder: Path) -> None:
    wanted, given = spec.shape, (batch, *rows.row_shape)
    if wanted is None:
        return
    fits = len(wanted) == len(given) and all(
        w is None or w == g for w, g in zip(wanted, given, strict=True)
    )
    if not fits or spec.dtype not in {None, rows.dtype}:
        msg = (
            f"model {model.name} takes {spec.dtype} {_dims(wanted)}, but the dataset "
            f"{folder} with --batch {batch} gives {rows.dtype} {_dims(given)}: "
            "build the dataset with another --layout, or choose another model or --batch"
        )
        raise ModelError(msg)
    if batch > rows.rows:
        msg = f"--batch {batch}: the dataset {folder} has only {rows.rows} rows"
        raise UsageError(msg)


def _dims(shape: tuple[int | None, ...]) -> str:
    return "x".join("N" if d is None else str(d) for d in shape)
