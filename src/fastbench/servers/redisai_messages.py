"""What one inference looks like on a RedisAI wire, in each form and dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fastbench.plan import FIELD_CONNECTION, FIELD_ROW, Expect, Field, Payload
from fastbench.servers.resp import Argument, command, message

if TYPE_CHECKING:
    from fastbench.plan import Message, Part

Key = tuple[str | Field, ...]


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


@dataclass(frozen=True, slots=True)
class Inference:
    """What the messages are made of.

    ``shape``: of one dataset row. ``output_bytes``: of the reply tensor for ``batch`` rows.
    """

    model_key: Argument
    dtype: str  # RedisAI's name, e.g. FLOAT
    batch: int
    shape: tuple[int, ...]
    row_bytes: int
    output_bytes: int
    dialect: str
    keys: Keys = IMAGE_KEYS

    def tensorset(self) -> tuple[Argument, ...]:
        """AI.TENSORSET of one batch."""
        dims = (self.batch, *self.shape)
        return ("AI.TENSORSET", self.keys.input, self.dtype, *dims, "BLOB", Payload(self.batch))

    def execute(self) -> tuple[Argument, ...]:
        """AI.MODELEXECUTE, or AI.MODELRUN in the legacy dialect."""
        inputs: tuple[Key, ...] = (self.keys.input, *self.loaded)
        output = self.keys.output
        if self.dialect == "legacy":
            return ("AI.MODELRUN", self.model_key, "INPUTS", *inputs, "OUTPUTS", output)
        keys: tuple[Argument, ...] = ("INPUTS", len(inputs), *inputs, "OUTPUTS", 1, output)
        return ("AI.MODELEXECUTE", self.model_key, *keys)

    def tensorget(self) -> tuple[Argument, ...]:
        """AI.TENSORGET of the answer as a blob."""
        return ("AI.TENSORGET", self.keys.output, "BLOB")

    @property
    def loaded(self) -> tuple[Key, ...]:
        """The inputs that the server already holds."""
        return () if self.keys.reference is None else (self.keys.reference,)

    def dag(self) -> tuple[Argument, ...]:
        """Return what begins a DAG: a modern one must load, persist or route."""
        load: tuple[Argument, ...] = ("LOAD", len(self.loaded), *self.loaded) if self.loaded else ()
        if self.dialect == "legacy":
            return ("AI.DAGRUN", *load)
        return ("AI.DAGEXECUTE", *(load or ("ROUTING", self.keys.routing)))

    def command(self, *arguments: Argument) -> list[Part]:
        """One command's parts."""
        return command(*arguments, row_bytes=self.row_bytes)

    @property
    def answer(self) -> Expect:
        """The reply to :meth:`tensorget`."""
        return Expect(b"$", self.output_bytes)


def pipeline_message(inference: Inference) -> Message:
    """Three commands in one write, three replies."""
    commands = (inference.tensorset(), inference.execute(), inference.tensorget())
    return message(
        (inference.command(*c) for c in commands),
        replies=3,
        expect=(_OK, _OK, inference.answer),
    )


def dag_message(inference: Inference) -> Message:
    """One AI.DAGEXECUTE (legacy: AI.DAGRUN) of the same three operations, one array reply."""
    arguments = (
        *inference.dag(),
        *("|>", *inference.tensorset()),
        *("|>", *inference.execute()),
        *("|>", *inference.tensorget()),
    )
    return message(
        [inference.command(*arguments)],
        replies=1,
        expect=(Expect(b"*", 3), _OK, _OK, inference.answer),
    )


def execute_message(inference: Inference) -> Message:
    """Only the execution: the tensor was set once, when the connection was opened."""
    return message([inference.command(*inference.execute())], replies=1, expect=(_OK,))


def set_once_message(inference: Inference) -> Message:
    """Set the tensor of :func:`execute_message`."""
    return message([inference.command(*inference.tensorset())], replies=1, expect=(_OK,))


MESSAGES = {"pipeline": pipeline_message, "dag": dag_message, "execute": execute_message}
