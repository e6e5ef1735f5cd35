"""AI.SCRIPTSTORE, AI.SCRIPTSET and AI.SCRIPTGET, apart from the keys they live under."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fastbench.serve.backends import Device, load_functions, parse_device
from fastbench.serve.queues import Model, Stats
from fastbench.serve.resp import CommandError
from fastbench.serve.words import Words, upper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastbench.serve.backends import TorchFunctions
    from fastbench.serve.resp import Reply
    from fastbench.serve.tensors import Array

#: What an entry point takes: tensors, the names of keys, and further arguments.
PARAMETERS = ["List[Tensor]", "List[str]", "List[str]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRecipe:
    """A script as a client described it, before it is compiled."""

    device: Device
    tag: bytes
    entry_points: tuple[str, ...] = ()
    source: bytes

    def load(self) -> Script:
        """Compile the script; takes as long as PyTorch needs. May raise CommandError."""
        functions = load_functions(self.device, self.source)
        for name in self.entry_points:
            _check_entry_point(name, functions.parameters(name))
        return Script(recipe=self, functions=functions)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Script:
    """A stored script; what AI.INFO counts about it is in ``stats``."""

    backend: ClassVar[str] = "TORCH"
    recipe: ScriptRecipe
    functions: TorchFunctions
    stats: Stats = field(default_factory=Stats)

    @property
    def device(self) -> Device:
        """Where it runs."""
        return self.recipe.device

    @property
    def tag(self) -> bytes:
        """What the client called it, beside its key."""
        return self.recipe.tag

    def bind(self, function: str, keys: list[bytes], args: list[bytes], outputs: int) -> Model:
        """Return one call of a function as what a queue runs."""
        call = Call(self, function, _texts(keys), _texts(args), outputs=("",) * outputs)
        return Model(
            backend=self.backend, device=self.device, blob=b"", executable=call, stats=self.stats
        )


@dataclass(slots=True)
class Call:
    """One call of a function of a script, on tensors that are still to come."""

    script: Script
    function: str
    keys: list[str]
    args: list[str]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Execute the function, without the GIL; it must return as many tensors as asked for."""
        returned = self.script.functions.run(self.function, self._arguments(list(arrays)))
        if len(returned) != len(self.outputs):
            msg = f"Function returned unexpected number of outputs - {self.function}"
            raise CommandError(msg)
        return returned

    def stop(self) -> None:
        """PyTorch has no way to do it."""

    def _arguments(self, arrays: list[Array]) -> list[Any]:
        parameters = self.script.functions.parameters(self.function)
        if parameters is None:
            msg = f"Function does not exist: {self.function}"
            raise CommandError(msg)
        if self.function in self.script.recipe.entry_points:
            return [arrays, self.keys, self.args]
        return _spread(arrays, parameters, self.function)


def _spread(arrays: list[Array], parameters: list[str], function: str) -> list[Any]:
    """Give each parameter a tensor, and all that are left to one that takes a list."""
    if len(parameters) > len(arrays):
        msg = f"Wrong number of inputs provided to function: {function}"
        raise CommandError(msg)
    given: list[Any] = []
    for position, kind in enumerate(parameters):
        if kind == "List[Tensor]":
            return [*given, arrays[position:]]
        if kind != "Tensor":
            msg = f"Unsupported input type in function definition: {function}"
            raise CommandError(msg)
        given.append(arrays[position])
    return given


def _check_entry_point(name: str, parameters: list[str] | None) -> None:
    if parameters is None:
        msg = f"Function {name} does not exist in the given script."
        raise CommandError(msg)
    if len(parameters) != len(PARAMETERS):
        count = len(parameters)
        msg = f"Wrong number of inputs in function {name}. Expected 3 but was {count}"
        raise CommandError(msg)
    if parameters != PARAMETERS:
        msg = (
            f"Wrong inputs type in function {name}. Expected signature similar to:"
            f" def {name}(tensors: List[Tensor], keys: List[str], args: List[str])"
        )
        raise CommandError(msg)


def parse_script(words: Words, *, legacy: bool) -> ScriptRecipe:
    """Read what follows the key: ``device [TAG t] ENTRY_POINTS n name ... SOURCE text``.

    ``legacy``: AI.SCRIPTSET, which has no entry points.
    """
    device = parse_device(words.key().decode("latin-1"), "ERR unsupported device")
    tag = words.key() if words.skip("TAG") and len(words) else b""
    entry_points = [] if legacy else _parse_entry_points(words)
    if not words.skip("SOURCE") or not len(words):
        msg = "ERR Insufficient arguments, missing script SOURCE"
        raise CommandError(msg)
    return ScriptRecipe(
        device=device, tag=tag, entry_points=tuple(_texts(entry_points)), source=words.key()
    )


def _parse_entry_points(words: Words) -> list[bytes]:
    missing = "ERR Insufficient arguments, missing script entry points"
    if not words.skip("ENTRY_POINTS"):
        raise CommandError(missing)
    no_count = "ERR Non numeric entry points number provided to AI.SCRIPTSTORE command"
    return words.counted(no_count, missing)


def show_script(script: Script, words: Words) -> Reply:
    """Return the reply of AI.SCRIPTGET for the words after the key."""
    asked = {upper(word) for word in words.rest()} & {"META", "SOURCE"}
    recipe = script.recipe
    if asked == {"SOURCE"}:
        return recipe.source
    entry_points: Reply = [name.encode() for name in recipe.entry_points]
    reply: list[Reply] = [
        *(b"device", recipe.device.text.encode()),
        *(b"tag", recipe.tag),
        *(b"Entry Points", entry_points),
    ]
    return reply if asked == {"META"} else [*reply, b"source", recipe.source]


def _texts(words: list[bytes]) -> list[str]:
    return [word.decode("utf-8", "replace") for word in words]
