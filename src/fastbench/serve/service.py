"""From a request to its reply: look the command up, check it, run it, count it."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fastbench.serve import ai_commands, redis_commands
from fastbench.serve.execute import SHORTEST
from fastbench.serve.resp import OK, CommandError, Reply, Request, Simple
from fastbench.serve.state import CommandStats, Session, State
from fastbench.serve.words import upper, wrong_arity

Handler: TypeAlias = "Callable[[State, Session, Request], Reply | Awaitable[Reply]]"
ANY = sys.maxsize


@dataclass(frozen=True, slots=True)
class Command:
    """A handler and how many words it takes, the name included."""

    handler: Handler
    least: int
    most: int = ANY


COMMANDS: dict[str, Command] = {
    "AI.TENSORSET": Command(ai_commands.tensorset, 4),
    "AI.TENSORGET": Command(ai_commands.tensorget, 2, 4),
    "AI.MODELSTORE": Command(ai_commands.modelstore, 6),
    "AI.MODELSET": Command(ai_commands.modelstore, 6),
    "AI.MODELGET": Command(ai_commands.modelget, 2, 4),
    "AI.MODELDEL": Command(ai_commands.modeldel, 2, 2),
    "AI._MODELSCAN": Command(ai_commands.modelscan, 1, 1),
    "AI.SCRIPTSTORE": Command(ai_commands.scriptstore, 8),
    "AI.SCRIPTSET": Command(ai_commands.scriptstore, 5, 7),
    "AI.SCRIPTGET": Command(ai_commands.scriptget, 2, 4),
    "AI.SCRIPTDEL": Command(ai_commands.scriptdel, 2, 2),
    "AI._SCRIPTSCAN": Command(ai_commands.scriptscan, 1, 1),
    **{name: Command(ai_commands.execute, 1) for name in SHORTEST},
    "AI.DAGEXECUTE": Command(ai_commands.dag, 1),
    "AI.DAGEXECUTE_RO": Command(ai_commands.dag, 1),
    "AI.DAGRUN": Command(ai_commands.dag, 1),
    "AI.DAGRUN_RO": Command(ai_commands.dag, 1),
    "AI.INFO": Command(ai_commands.info, 2, 3),
    "AI.CONFIG": Command(ai_commands.config, 2),
    "PING": Command(redis_commands.ping, 1, 2),
    "ECHO": Command(redis_commands.echo, 2, 2),
    "HELLO": Command(redis_commands.hello, 1),
    "AUTH": Command(redis_commands.auth, 2, 3),
    "QUIT": Command(redis_commands.quit_, 1),
    "SELECT": Command(redis_commands.select, 2, 2),
    "CLIENT": Command(redis_commands.client, 2),
    "INFO": Command(redis_commands.info, 1),
    "CONFIG": Command(redis_commands.config, 2),
    "COMMAND": Command(redis_commands.command, 1),
    "MODULE": Command(redis_commands.module, 2),
    "SET": Command(redis_commands.set_, 3),
    "GET": Command(redis_commands.get, 2, 2),
    "DEL": Command(redis_commands.del_, 2),
    "EXISTS": Command(redis_commands.exists, 2),
    "TYPE": Command(redis_commands.type_, 2, 2),
    "DBSIZE": Command(redis_commands.dbsize, 1, 1),
    "FLUSHALL": Command(redis_commands.flushall, 1, 2),
    "FLUSHDB": Command(redis_commands.flushdb, 1, 2),
}
EXECUTING = (*SHORTEST, "AI.DAG")
NOT_IN_TRANSACTION = "ERR Cannot run RedisAI command within a transaction or a LUA script"
WITHOUT_PASSWORD = ("AUTH", "HELLO", "QUIT")


class Service:
    """Answers requests. A reply is a value, or a task that will have it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, session: Session, request: Request) -> Reply | asyncio.Task[Reply]:
        """Return the reply, or the task of a command that runs for a while."""
        name = upper(request[0])
        if session.queued is not None and name not in ("MULTI", "EXEC", "DISCARD", "QUIT"):
            return self._queue(session, name, request)
        began = time.perf_counter()
        try:
            reply = self._call(session, name, request)
        except Exception as e:  # noqa: BLE001  one bad request must not end the server
            reply = as_error(e)
        if isinstance(reply, Awaitable):
            return asyncio.ensure_future(self._later(name, began, reply))
        self._count(name, began, reply)
        return reply

    async def _later(self, name: str, began: float, pending: Awaitable[Reply]) -> Reply:
        try:
            reply = await pending
        except Exception as e:  # noqa: BLE001 - one bad request must not end the server, nor one that is answered later
            reply = as_error(e)
        self._count(name, began, reply)
        return reply

    def _call(self, session: Session, name: str, request: Request) -> Reply | Awaitable[Reply]:
        if not session.authenticated and name not in WITHOUT_PASSWORD:
            msg = "NOAUTH Authentication required."
            raise CommandError(msg)
        if name in ("MULTI", "EXEC", "DISCARD"):
            return self._transaction(session, name)
        return _find(name, request).handler(self._state, session, request)

    def _count(self, name: str, began: float, reply: Reply) -> None:
        if name not in COMMANDS:
            return
        stats = self._state.command_stats.setdefault(name, CommandStats())
        stats.calls += 1
        stats.usec += int((time.perf_counter() - began) * 1e6)
        stats.failed += isinstance(reply, CommandError)

    def _transaction(self, session: Session, name: str) -> Reply | Awaitable[Reply]:
        """MULTI, EXEC and DISCARD."""
        queued, refused = session.queued, session.refused
        if (name == "MULTI") == (queued is not None):
            problem = "calls can not be nested" if name == "MULTI" else "without MULTI"
            msg = f"ERR {name} {problem}"
            raise CommandError(msg)
        session.queued, session.refused = [] if name == "MULTI" else None, False
        if name == "EXEC" and refused:
            msg = "EXECABORT Transaction discarded because of previous errors."
            raise CommandError(msg)
        if name == "EXEC" and queued is not None:
            return self._run_queued(session, queued)
        return OK

    async def _run_queued(self, session: Session, queued: list[Request]) -> Reply:
        replies: list[Reply] = []
        for request in queued:
            reply: Reply | asyncio.Task[Reply] = CommandError(NOT_IN_TRANSACTION)
            if not upper(request[0]).startswith(EXECUTING):
                reply = self.answer(session, request)
            replies.append(await reply if isinstance(reply, asyncio.Task) else reply)
        return replies

    def _queue(self, session: Session, name: str, request: Request) -> Reply:
        try:
            _find(name, request)
        except CommandError as e:
            session.refused = True
            return e
        if session.queued is not None:
            session.queued.append(request)
        return Simple("QUEUED")


def _find(name: str, request: Request) -> Command:
    command = COMMANDS.get(name)
    if command is None:
        raise _unknown(request)
    if not command.least <= len(request) <= command.most:
        raise wrong_arity(name.lower())
    return command


def _unknown(request: Request) -> CommandError:
    name, *arguments = (bytes(word[:128]).decode("latin-1") for word in request)
    shown = "".join(f"'{word}' " for word in arguments)[:128]
    return CommandError(f"ERR unknown command '{name}', with args beginning with: {shown}")


def as_error(error: Exception) -> CommandError:
    """Return the error reply for whatever a command raised; the unexpected is also logged."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, MemoryError):
        return CommandError("OOM command not allowed: not enough memory")
    traceback.print_exception(error, file=sys.stderr)
    return CommandError(f"ERR internal error: {type(error).__name__}: {error}")
