"""What one vision inference looks like on a RedisAI wire, in each form and dialect."""

from __future__ import annotations

from dataclasses import dataclass

from fastbench.plan import FIELD_CONNECTION, Expect, Field, Message, Payload
from fastbench.servers.resp import Argument, Part, command, message

_CONNECTION = Field(FIELD_CONNECTION, 6)
#: Keys are per connection, so that connections never overwrite each other's tensors; the hash tag
#: keeps both on one cluster shard.
IMAGE_KEY = ("imageTensor:{c", _CONNECTION, "}")
CLASSES_KEY = ("classificationTensor:{c", _CONNECTION, "}")
ROUTING_TAG = ("{c", _CONNECTION, "}")

_OK = Expect(b"+")


@dataclass(frozen=True, slots=True)
class Inference:
    """What the messages are made of.

    ``shape``: of one dataset row. ``output_bytes``: of the reply tensor for ``batch`` rows.
    """

    model_key: str
    dtype: str  # RedisAI's name, e.g. FLOAT
    batch: int
    shape: tuple[int, ...]
    row_bytes: int
    output_bytes: int
    dialect: str

    def tensorset(self) -> tuple[Argument, ...]:
        """AI.TENSORSET of one batch."""
        dims = (self.batch, *self.shape)
        return ("AI.TENSORSET", IMAGE_KEY, self.dtype, *dims, "BLOB", Payload(self.batch))

    def execute(self) -> tuple[Argument, ...]:
        """AI.MODELEXECUTE, or AI.MODELRUN in the legacy dialect."""
        if self.dialect == "legacy":
            return ("AI.MODELRUN", self.model_key, "INPUTS", IMAGE_KEY, "OUTPUTS", CLASSES_KEY)
        keys = ("INPUTS", 1, IMAGE_KEY, "OUTPUTS", 1, CLASSES_KEY)
        return ("AI.MODELEXECUTE", self.model_key, *keys)

    def tensorget(self) -> tuple[Argument, ...]:
        """AI.TENSORGET of the answer as a blob."""
        return ("AI.TENSORGET", CLASSES_KEY, "BLOB")

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
    head: tuple[Argument, ...] = ("AI.DAGEXECUTE", "ROUTING", ROUTING_TAG)
    if inference.dialect == "legacy":
        head = ("AI.DAGRUN",)
    arguments = (
        *head,
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
