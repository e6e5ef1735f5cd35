"""RedisAI: loading and checking a model over the control plane, and what the engine sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.errors import ModelError, ServerError
from fastbench.plan import Field, Payload, Stream
from fastbench.results import TargetInfo
from fastbench.servers.data import file_data
from fastbench.servers.model_keys import numbered, numbers_of
from fastbench.servers.redis_server import RedisServer
from fastbench.servers.redisai_messages import (
    MESSAGES,
    NO_SCRIPT,
    Inference,
    StoredScript,
    set_once_message,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastbench.config import RunConfig, TlsConfig
    from fastbench.datasets.rows import Rows
    from fastbench.models.base import Model
    from fastbench.models.script import Script
    from fastbench.servers.redisai_messages import Keys
    from fastbench.servers.resp import Argument
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
    """A model in the server: its key, its first answer, and the script around it.

    With ``--models`` the keys are ``key:0`` and so on, and the difference is the largest.
    """

    key: str
    output_bytes: int
    max_abs_difference: float | None
    script: StoredScript = NO_SCRIPT


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
        The names of tensors are given for TF only: RedisAI refuses them for the other backends.
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

    def store_script(self, script: Script, device: str, dialect: str) -> StoredScript:
        """Store ``script``; the legacy dialect knows no entry points.

        Raises :class:`ModelError` with the server's words when it refuses.
        """
        key = f"fastbench:script:{script.name}"
        points = ("ENTRY_POINTS", len(script.functions), *script.functions)
        head: tuple[Any, ...] = ("AI.SCRIPTSET", key, device.upper())
        if dialect != "legacy":
            head = ("AI.SCRIPTSTORE", key, device.upper(), *points)
        try:
            self.execute(*head, "SOURCE", script.source)
        except ServerError as e:
            msg = f"{self.target.url} refused script {script.name} on {device}: {e}"
            raise ModelError(msg) from e
        return StoredScript(key=key, functions=script.functions)

    def rehearse(self, inference: Inference, inputs: Sequence[NDArray[Any]]) -> int:
        """Do the operations of an inference one by one; return the bytes of the answer.

        ``inputs``: the batch that is sent, then what the server would already hold.
        Raises :class:`ModelError` with the server's words when an operation fails.
        """
        reply = b""
        loaded = [_spelt(key, b"") for key in inference.loaded]
        for key, array in zip(loaded, inputs[1:], strict=True):
            self.set_tensor(key, array)
        for operation in inference.operations():
            words = [_spelt(argument, inputs[0].tobytes()) for argument in operation]
            try:
                reply = self.execute(*words)
            except ServerError as e:
                msg = f"{self.target.url}: {words[0]} {words[1]} failed: {e}"
                raise ModelError(msg) from e
        self.execute("DEL", *loaded, *(_spelt(key, b"") for key in inference.written_keys))
        return len(reply)

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
        inference = make_inference(config, rows, loaded, keys)
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


def make_inference(config: RunConfig, rows: Rows, loaded: Loaded, keys: Keys) -> Inference:
    """Return what one inference of a run is."""
    return Inference(
        model_key=loaded.key if config.models == 1 else numbered(loaded.key),
        dtype=DTYPES[rows.dtype],
        batch=config.batch,
        shape=rows.row_shape,
        row_bytes=rows.row_bytes,
        output_bytes=loaded.output_bytes,
        dialect=config.dialect,
        keys=keys,
        timeout_ms=config.server_timeout_ms,
        persist=config.persist,
        script=loaded.script,
    )


def _spelt(argument: Argument, batch: bytes) -> Any:
    """Return an argument as the control plane sends it: numbers in keys are the word check."""
    if isinstance(argument, Payload):
        return batch
    if isinstance(argument, tuple):
        return "".join("check" if isinstance(p, Field) else p for p in argument)
    return argument
