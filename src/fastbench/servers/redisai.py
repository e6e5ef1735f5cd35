"""RedisAI: loading and checking a model over the control plane, and what the engine sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.errors import ModelError, ServerError, UsageError
from fastbench.plan import Data, Stream
from fastbench.results import TargetInfo
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.redisai_messages import MESSAGES, Inference, set_once_message

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastbench.config import RunConfig, TlsConfig
    from fastbench.datasets.base import Dataset
    from fastbench.models.base import Model
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
    """A model in the server: its key, and the output of its first answer."""

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

    def stream(self, config: RunConfig, dataset: Dataset, loaded: Loaded) -> Stream:
        """Return what the engine sends: one inference in the form and dialect asked for."""
        inference = Inference(
            model_key=loaded.key,
            dtype=DTYPES[dataset.dtype],
            batch=config.batch,
            shape=dataset.row_shape,
            row_bytes=dataset.row_bytes,
            output_bytes=loaded.output_bytes,
            dialect=config.dialect,
        )
        set_once = (set_once_message(inference),) if config.form == "execute" else ()
        return Stream(
            addresses=(self.address,),
            connections=config.total_connections,
            pipeline=config.pipeline,
            messages=(MESSAGES[config.form](inference),),
            opening=(*self.opening(), *set_once),
            data=(
                Data(str(dataset.data_path), dataset.data_offset, dataset.row_bytes, dataset.rows),
            ),
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


def check_fit(model: Model, dataset: Dataset, batch: int) -> None:
    """Raise :class:`ModelError` when the model cannot take the dataset's rows."""
    if not model.inputs or model.inputs[0].shape is None:
        return
    wanted = model.inputs[0].shape
    given = (batch, *dataset.row_shape)
    fits = len(wanted) == len(given) and all(
        w is None or w == g for w, g in zip(wanted, given, strict=True)
    )
    if not fits or model.inputs[0].dtype not in {None, dataset.dtype}:
        msg = (
            f"model {model.name} takes {model.inputs[0].dtype} {_dims(wanted)}, but the dataset "
            f"{dataset.path} with --batch {batch} gives {dataset.dtype} {_dims(given)}: "
            "build the dataset with another --layout, or choose another model or --batch"
        )
        raise ModelError(msg)
    if batch > dataset.rows:
        msg = f"--batch {batch}: the dataset {dataset.path} has only {dataset.rows} rows"
        raise UsageError(msg)


def _dims(shape: tuple[int | None, ...]) -> str:
    return "x".join("N" if d is None else str(d) for d in shape)
