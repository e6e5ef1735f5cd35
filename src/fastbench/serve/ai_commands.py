"""The AI.* commands: from words to replies. Those that run a model reply later."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fastbench.serve.backends import BACKENDS
from fastbench.serve.dag import Dag, GetTensor, Op, SetTensor, parse_dag
from fastbench.serve.execute import Execution, deadline, parse_execution
from fastbench.serve.modelstore import parse_chunk_size, parse_recipe, show_model
from fastbench.serve.queues import Job, Model, Stats, TimedOutError
from fastbench.serve.resp import NA, OK, TIMED_OUT, CommandError, Reply
from fastbench.serve.scripts import Script, parse_script, show_script
from fastbench.serve.state import Keys, Session, State, check_replaceable, find
from fastbench.serve.tensors import Tensor, dtype_name, parse_format, parse_tensor, show_tensor
from fastbench.serve.words import Words, upper, wrong_arity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastbench.serve.resp import Request
    from fastbench.serve.state import Kind
    from fastbench.serve.tensors import Array


COMMAND_CONFIG = "ai.config"


def tensorset(_state: State, session: Session, request: Request) -> Reply:
    """``AI.TENSORSET key dtype [dim ...] [BLOB data | VALUES v ...]``."""
    words = Words(request)
    key = words.key()
    tensor = parse_tensor(words)
    check_replaceable(session.keys, key, Tensor)
    session.keys[key] = tensor
    return OK


def tensorget(_state: State, session: Session, request: Request) -> Reply:
    """``AI.TENSORGET key [META] [BLOB | VALUES]``."""
    words = Words(request)
    tensor = find(session.keys, words.key(), Tensor)
    return show_tensor(tensor, parse_format(words))


def modelstore(state: State, session: Session, request: Request) -> Awaitable[Reply]:
    """``AI.MODELSTORE key backend device ... BLOB chunk ...``, and AI.MODELSET."""
    words = Words(request)
    key = words.key()
    recipe = parse_recipe(words, legacy=upper(request[0]) == "AI.MODELSET")
    check_replaceable(session.keys, key, Model)
    return _store(session.keys, key, lambda: recipe.load(state.settings.intra_op))


async def _store(keys: Keys, key: bytes, load: Callable[[], Model | Script]) -> Reply:
    keys[key] = await asyncio.to_thread(load)
    return OK


def modelget(state: State, session: Session, request: Request) -> Reply:
    """``AI.MODELGET key [META] [BLOB]``."""
    words = Words(request)
    model = find(session.keys, words.key(), Model)
    return show_model(model, words, state.model_chunk_bytes)


def modeldel(_state: State, session: Session, request: Request) -> Reply:
    """``AI.MODELDEL key``."""
    return _delete(session.keys, bytes(request[1]), Model)


def scriptstore(_state: State, session: Session, request: Request) -> Awaitable[Reply]:
    """``AI.SCRIPTSTORE key device ... SOURCE text``, and AI.SCRIPTSET."""
    words = Words(request)
    key = words.key()
    recipe = parse_script(words, legacy=upper(request[0]) == "AI.SCRIPTSET")
    check_replaceable(session.keys, key, Script)
    return _store(session.keys, key, recipe.load)


def scriptget(_state: State, session: Session, request: Request) -> Reply:
    """``AI.SCRIPTGET key [META] [SOURCE]``."""
    words = Words(request)
    return show_script(find(session.keys, words.key(), Script), words)


def scriptdel(_state: State, session: Session, request: Request) -> Reply:
    """``AI.SCRIPTDEL key``."""
    return _delete(session.keys, bytes(request[1]), Script)


def _delete(keys: Keys, key: bytes, kind: type[Kind]) -> Reply:
    find(keys, key, kind)
    del keys[key]
    return OK


def modelscan(_state: State, session: Session, _request: Request) -> Reply:
    """``AI._MODELSCAN``: key and tag of every model."""
    return _scan(session.keys, Model)


def scriptscan(_state: State, session: Session, _request: Request) -> Reply:
    """``AI._SCRIPTSCAN``: key and tag of every script."""
    return _scan(session.keys, Script)


def _scan(keys: Keys, kind: type[Model | Script]) -> Reply:
    return [[key, value.tag] for key, value in keys.items() if isinstance(value, kind)]


def execute(state: State, session: Session, request: Request) -> Awaitable[Reply]:
    """``AI.MODELEXECUTE``, ``AI.SCRIPTEXECUTE`` and their deprecated forms.

    The inputs are those of this instant.
    """
    keys = session.keys
    execution = parse_execution(request, keys)
    inputs = [find(keys, key, Tensor).array for key in execution.inputs]
    job = state.submit(execution.model, inputs, deadline(execution.timeout_s))
    return _keep_outputs(job, keys, execution.outputs)


async def _keep_outputs(job: Job, keys: Keys, names: list[bytes]) -> Reply:
    try:
        outputs = _tensors(await job.done)
    except TimedOutError:
        return TIMED_OUT
    for name in names:
        check_replaceable(keys, name, Tensor)
    keys.update(zip(names, outputs, strict=True))
    return OK


def _tensors(arrays: Sequence[Array]) -> list[Tensor]:
    for array in arrays:
        dtype_name(array)  # raises where RedisAI has no name for the type
    return [Tensor(array) for array in arrays]


def dag(state: State, session: Session, request: Request) -> Awaitable[Reply]:
    """``AI.DAGEXECUTE``, ``AI.DAGRUN`` and their read-only forms."""
    return _DagRun(state, session.keys, parse_dag(request, session.keys)).run()


class _DagRun:
    """A DAG under way: its own names, and whether an op has failed."""

    def __init__(self, state: State, keys: Keys, dag: Dag) -> None:
        self._state = state
        self._keys = keys
        self._dag = dag
        self._names = dag.loaded
        self._deadline = deadline(dag.timeout_s)
        self._failed = False

    async def run(self) -> Reply:
        replies: list[Reply] = []
        for op in self._dag.ops:
            if time.monotonic() >= self._deadline:
                return TIMED_OUT
            try:
                replies.append(await self._run_op(op))
            except TimedOutError:
                return TIMED_OUT
        return replies + self._persist()

    async def _run_op(self, op: Op) -> Reply:
        if isinstance(op, SetTensor):
            self._names[op.name] = op.tensor
            return OK
        if isinstance(op, GetTensor):
            tensor = self._names.get(op.name)
            return NA if tensor is None else show_tensor(tensor, op.form)
        return await self._execute(op)

    async def _execute(self, op: Execution) -> Reply:
        """Run it, unless an op before failed: then its outputs do not exist either."""
        reply: Reply = NA
        if not self._failed:
            inputs = [self._names[name].array for name in op.inputs]
            try:
                job = self._state.submit(op.model, inputs, self._deadline)
                self._names.update(zip(op.outputs, _tensors(await job.done), strict=True))
            except CommandError as e:
                self._failed, reply = True, e
            else:
                return OK
        for name in op.outputs:
            self._names.pop(name, None)
        return reply

    def _persist(self) -> list[Reply]:
        """Write the names to keep; an entry for each that cannot be written."""
        errors: list[Reply] = []
        for name in [] if self._failed else self._dag.persist:
            try:
                check_replaceable(self._keys, name, Tensor)
                self._keys[name] = self._names[name]
            except CommandError as e:
                errors.append(e)
        return errors


def info(_state: State, session: Session, request: Request) -> Reply:
    """``AI.INFO key [RESETSTAT]``."""
    key = bytes(request[1])
    found = session.keys.get(key)
    if not isinstance(found, Model | Script):
        msg = "ERR cannot find run info for key"
        raise CommandError(msg)
    stats = found.stats
    if request[2:] and upper(request[2]) == "RESETSTAT":
        for name in Stats.__slots__:
            setattr(stats, name, 0)
        return OK
    kind, samples = (b"MODEL", stats.samples) if isinstance(found, Model) else (b"SCRIPT", -1)
    return [
        *(b"key", key, b"type", kind, b"backend", found.backend.encode()),
        *(b"device", found.device.text.encode(), b"tag", found.tag),
        *(b"duration", stats.duration_us, b"samples", samples),
        *(b"calls", stats.calls, b"errors", stats.errors),
    ]


def config(state: State, _session: Session, request: Request) -> Reply:
    """``AI.CONFIG GET | MODEL_CHUNK_SIZE | BACKENDSPATH | LOADBACKEND``."""
    words = Words(request)
    match upper(words.take()):
        case "GET":
            return _get_config(state, words)
        case "MODEL_CHUNK_SIZE":
            state.model_chunk_bytes = parse_chunk_size(words)
        case "BACKENDSPATH":
            if not len(words):
                msg = "ERR BACKENDSPATH: missing path argument"
                raise CommandError(msg)
            state.backends_path = words.key()
        case "LOADBACKEND":
            known = words.keyword() in BACKENDS
            msg = "ERR error loading backend" if known else "ERR unsupported backend"
            raise CommandError(msg)
        case _:
            msg = "ERR unsupported subcommand"
            raise CommandError(msg)
    return OK


def _get_config(state: State, words: Words) -> Reply:
    if not len(words):
        raise wrong_arity(COMMAND_CONFIG)
    name = words.keyword()
    if name == "MODEL_CHUNK_SIZE":
        return state.model_chunk_bytes
    return state.backends_path if name == "BACKENDSPATH" else None
