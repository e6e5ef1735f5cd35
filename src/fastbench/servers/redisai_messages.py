"""What one inference looks like on a RedisAI wire, in each form and dialect."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fastbench.models.script import AFTER, BEFORE
from fastbench.plan import FIELD_CONNECTION, FIELD_ROW, Expect, Field, Payload
from fastbench.servers.resp import Argument, command, message

if TYPE_CHECKING:
    from fastbench.plan import Message, Part

Key = tuple[str | Field, ...]
#: One command, or one operation of a DAG.
Operation: TypeAlias = tuple[Argument, ...]


class Keys(NamedTuple):
    """Under which names an inference has its tensors.

    ``routing``: a hash tag of all of them, for a DAG that loads none. ``reference``: of a second
    input that the server already holds; None = there is none.
    """

    input: Key
    output: Key
    routing: Key
    reference: Key | None = None


_CONNECTION = Field(FIELD_CONNECTION, 6)
#: Of images: per connection, so that connections never overwrite each other's tensors; the hash
#: tag keeps both on one cluster shard.
IMAGE_KEYS = Keys(
    ("imageTensor:{c", _CONNECTION, "}"),
    ("classificationTensor:{c", _CONNECTION, "}"),
    ("{c", _CONNECTION, "}"),
)

_ROW = Field(FIELD_ROW, 0)
#: Of transactions: per transaction, as its reference data are.
TRANSACTION_KEYS = Keys(
    ("transactionTensor:{", _ROW, "}"),
    ("classificationTensor:{", _ROW, "}"),
    ("{", _ROW, "}"),
)

_OK = Expect(b"+")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScript:
    """A script in the server, and the functions of it that an inference calls."""

    key: str
    functions: tuple[str, ...]


NO_SCRIPT = StoredScript(key="", functions=())


@dataclass(frozen=True, slots=True)
class Inference:
    """What the messages are made of.

    ``shape``: of one dataset row. ``output_bytes``: of the reply tensor for ``batch`` rows.
    ``timeout_ms``: TIMEOUT; 0 = none. ``persist``: a DAG writes its answer to its key.
    """

    model_key: Argument
    dtype: str  # RedisAI's name, e.g. FLOAT
    batch: int
    shape: tuple[int, ...]
    row_bytes: int
    output_bytes: int
    dialect: str
    keys: Keys = IMAGE_KEYS
    timeout_ms: int = 0
    persist: bool = False
    script: StoredScript = NO_SCRIPT

    def tensorset(self) -> Operation:
        """AI.TENSORSET of one batch."""
        dims = (self.batch, *self.shape)
        return ("AI.TENSORSET", self.keys.input, self.dtype, *dims, "BLOB", Payload(self.batch))

    def execute(self, *, timeout: bool = False) -> Operation:
        """AI.MODELEXECUTE, or AI.MODELRUN in the legacy dialect."""
        first = self.processed_key if self._calls(BEFORE) else self.keys.input
        inputs: tuple[Key, ...] = (first, *self.loaded)
        limit, output = self._timeout() if timeout else (), self.keys.output
        if self.dialect == "legacy":
            return ("AI.MODELRUN", self.model_key, *limit, "INPUTS", *inputs, "OUTPUTS", output)
        keys: Operation = ("INPUTS", len(inputs), *inputs, "OUTPUTS", 1, output)
        return ("AI.MODELEXECUTE", self.model_key, *keys, *limit)

    def tensorget(self) -> Operation:
        """AI.TENSORGET of the answer as a blob."""
        return ("AI.TENSORGET", self.answer_key, "BLOB")

    def operations(self) -> list[Operation]:
        """All that one inference does, in order; the last one reads the answer."""
        before = [self._call(BEFORE, self.keys.input, self.processed_key)]
        after = [self._call(AFTER, self.keys.output, self.answer_key)]
        return [
            self.tensorset(),
            *(before if self._calls(BEFORE) else []),
            self.execute(),
            *(after if self._calls(AFTER) else []),
            self.tensorget(),
        ]

    def dag(self, *, read_only: bool) -> Operation:
        """Return what begins a DAG: a modern one must load, persist or route."""
        load: Operation = ("LOAD", len(self.loaded), *self.loaded) if self.loaded else ()
        keep: Operation = ("PERSIST", 1, self.answer_key) if self.persist else ()
        name = "AI.DAGRUN" if self.dialect == "legacy" else "AI.DAGEXECUTE"
        route: Operation = () if self.dialect == "legacy" else ("ROUTING", self.keys.routing)
        head = (*load, *keep) or route
        return (name + "_RO" if read_only else name, *head, *self._timeout())

    def command(self, *arguments: Argument) -> list[Part]:
        """One command's parts."""
        return command(*arguments, row_bytes=self.row_bytes)

    @property
    def loaded(self) -> tuple[Key, ...]:
        """The inputs that the server already holds."""
        return () if self.keys.reference is None else (self.keys.reference,)

    @property
    def processed_key(self) -> Key:
        """Of what goes into the model in place of what was sent, where a script makes it."""
        return ("processedTensor:", *self.keys.routing)

    @property
    def answer_key(self) -> Key:
        """Where the answer is: what the model gave, or what the script made of it."""
        return ("answerTensor:", *self.keys.routing) if self._calls(AFTER) else self.keys.output

    @property
    def written_keys(self) -> tuple[Key, ...]:
        """All keys that the operations write, done one by one."""
        return (self.keys.input, self.processed_key, self.keys.output, self.answer_key)

    @property
    def answer(self) -> Expect:
        """The reply to :meth:`tensorget`."""
        return Expect(b"$", self.output_bytes)

    def _calls(self, function: str) -> bool:
        return function in self.script.functions

    def _call(self, function: str, source: Key, to: Key) -> Operation:
        """AI.SCRIPTEXECUTE of a function on one tensor, or AI.SCRIPTRUN in the legacy dialect."""
        if self.dialect == "legacy":
            return ("AI.SCRIPTRUN", self.script.key, function, "INPUTS", source, "OUTPUTS", to)
        keys = ("INPUTS", 1, source, "OUTPUTS", 1, to)
        return ("AI.SCRIPTEXECUTE", self.script.key, function, *keys)

    def _timeout(self) -> Operation:
        return ("TIMEOUT", self.timeout_ms) if self.timeout_ms else ()


def pipeline_message(inference: Inference) -> Message:
    """Three commands in one write, three replies."""
    commands = (inference.tensorset(), inference.execute(timeout=True), inference.tensorget())
    return message(
        (inference.command(*c) for c in commands),
        replies=3,
        expect=(_OK, _OK, inference.answer),
    )


def dag_message(inference: Inference, *, read_only: bool = False) -> Message:
    """One AI.DAGEXECUTE (legacy: AI.DAGRUN) of the same operations, one array reply."""
    operations = inference.operations()
    body = itertools.chain.from_iterable(("|>", *operation) for operation in operations)
    return message(
        [inference.command(*inference.dag(read_only=read_only), *body)],
        replies=1,
        expect=(
            Expect(b"*", len(operations)),
            *(_OK for _ in operations[:-1]),
            inference.answer,
        ),
    )


def dag_ro_message(inference: Inference) -> Message:
    """One AI.DAGEXECUTE_RO (legacy: AI.DAGRUN_RO), which a replica may run too."""
    return dag_message(inference, read_only=True)


def execute_message(inference: Inference) -> Message:
    """Only the execution: the tensor was set once, when the connection was opened."""
    execute = inference.execute(timeout=True)
    return message([inference.command(*execute)], replies=1, expect=(_OK,))


def set_once_message(inference: Inference) -> Message:
    """Set the tensor of :func:`execute_message`."""
    return message([inference.command(*inference.tensorset())], replies=1, expect=(_OK,))


MESSAGES = {
    "pipeline": pipeline_message,
    "dag": dag_message,
    "dag-ro": dag_ro_message,
    "execute": execute_message,
    "script": dag_message,
}
