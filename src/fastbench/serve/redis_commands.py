"""The plain Redis commands that clients send around the AI.* ones."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from fastbench.serve.info import REDIS_VERSION, info_text
from fastbench.serve.queues import Model
from fastbench.serve.resp import OK, CommandError, Reply, Simple
from fastbench.serve.scripts import Script
from fastbench.serve.state import DATABASES, wrong_type
from fastbench.serve.tensors import Tensor
from fastbench.serve.words import Words, integer, upper

if TYPE_CHECKING:
    from fastbench.serve.resp import Argument, Request
    from fastbench.serve.state import Session, State

AI_MODULE_VERSION = 10207  # RedisAI 1.2.7, whose replies are given
RESP_VERSIONS = (2, 3)
SETTINGS = {"save": b"", "appendonly": b"no"}  # nothing is ever written to disk
TYPES = {bytes: "string", Tensor: "AI_TENSOR", Model: "AI__MODEL", Script: "AI_SCRIPT"}


def ping(_state: State, _session: Session, request: Request) -> Reply:
    """``PING [text]``."""
    return request[1] if len(request) > 1 else Simple("PONG")


def echo(_state: State, _session: Session, request: Request) -> Reply:
    """``ECHO text``."""
    return request[1]


def hello(state: State, session: Session, request: Request) -> Reply:
    """``HELLO [2|3] [AUTH user password] [SETNAME name]``."""
    words = Words(request)
    version = integer(words.take()) if len(words) else 2 + session.resp3
    if version not in RESP_VERSIONS:
        msg = "NOPROTO unsupported protocol version"
        raise CommandError(msg)
    while len(words):
        if words.keyword() == "AUTH" and len(words) > 2:  # noqa: PLR2004 - a user and a password follow
            words.take()
            _authenticate(state, session, words.take(), words.take())
        elif words.keyword() == "SETNAME" and len(words) > 1:
            words.take()
            session.name = words.key()
        else:
            msg = "ERR syntax error in HELLO"
            raise CommandError(msg)
    if not session.authenticated:
        msg = (
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the"
            " HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and"
            " select the RESP protocol version at the same time"
        )
        raise CommandError(msg)
    session.resp3 = version == RESP_VERSIONS[1]
    return {
        "server": b"redis",
        "version": REDIS_VERSION.encode(),
        "proto": version,
        "id": session.identity,
        "mode": b"standalone",
        "role": b"master",
        "modules": _modules(),
    }


def _modules() -> list[Reply]:
    return [{"name": b"ai", "ver": AI_MODULE_VERSION}]


def module(_state: State, _session: Session, request: Request) -> Reply:
    """Answer ``MODULE LIST``."""
    if upper(request[1]) != "LIST":
        raise _unknown_subcommand(request)
    return _modules()


def auth(state: State, session: Session, request: Request) -> Reply:
    """``AUTH [user] password``."""
    if state.settings.password is None:
        msg = (
            "ERR AUTH <password> called without any password configured for the default user."
            " Are you sure your configuration is correct?"
        )
        raise CommandError(msg)
    user = request[1] if request[2:] else b"default"
    _authenticate(state, session, user, request[-1])
    return OK


def _authenticate(state: State, session: Session, user: Argument, password: Argument) -> None:
    expected = state.settings.password
    same = expected is None or hmac.compare_digest(bytes(password), expected.encode())
    if bytes(user) != b"default" or not same:
        msg = "WRONGPASS invalid username-password pair or user is disabled."
        raise CommandError(msg)
    session.authenticated = True


def select(state: State, session: Session, request: Request) -> Reply:
    """``SELECT number``."""
    number = integer(request[1])
    if number is None:
        msg = "ERR value is not an integer or out of range"
        raise CommandError(msg)
    if not 0 <= number < DATABASES:
        msg = "ERR DB index is out of range"
        raise CommandError(msg)
    session.keys = state.databases[number]
    return OK


def client(_state: State, session: Session, request: Request) -> Reply:
    """``CLIENT ID | GETNAME | SETNAME | SETINFO | NO-EVICT | NO-TOUCH``."""
    match upper(request[1]):
        case "ID":
            return session.identity
        case "GETNAME":
            return session.name or None
        case "SETNAME":
            session.name = bytes(request[-1])
            return OK
        case "SETINFO" | "NO-EVICT" | "NO-TOUCH":
            return OK
    raise _unknown_subcommand(request)


def info(state: State, _session: Session, request: Request) -> Reply:
    """``INFO [section ...]``."""
    return info_text(state, [upper(word).lower() for word in request[1:]]).encode()


def config(state: State, _session: Session, request: Request) -> Reply:
    """``CONFIG RESETSTAT``, and ``CONFIG GET`` of what redis-benchmark asks for."""
    match upper(request[1]):
        case "RESETSTAT":
            state.command_stats.clear()
            return OK
        case "GET":
            asked = {upper(word).lower() for word in request[2:]}
            return {name: value for name, value in SETTINGS.items() if name in asked}
    raise _unknown_subcommand(request)


def command(_state: State, _session: Session, request: Request) -> Reply:
    """``COMMAND [DOCS | COUNT | ...]``: no command is described."""
    return 0 if len(request) > 1 and upper(request[1]) == "COUNT" else []


def set_(_state: State, session: Session, request: Request) -> Reply:
    """``SET key value``, without options."""
    if request[3:]:
        msg = "ERR syntax error"
        raise CommandError(msg)
    session.keys[bytes(request[1])] = bytes(request[2])
    return OK


def get(_state: State, session: Session, request: Request) -> Reply:
    """``GET key``."""
    value = session.keys.get(bytes(request[1]))
    if value is None or isinstance(value, bytes):
        return value
    raise wrong_type()


def del_(_state: State, session: Session, request: Request) -> Reply:
    """``DEL key ...``: how many there were."""
    return sum(session.keys.pop(bytes(key), None) is not None for key in request[1:])


def exists(_state: State, session: Session, request: Request) -> Reply:
    """``EXISTS key ...``: how many there are."""
    return sum(bytes(key) in session.keys for key in request[1:])


def type_(_state: State, session: Session, request: Request) -> Reply:
    """``TYPE key``."""
    value = session.keys.get(bytes(request[1]))
    return Simple("none" if value is None else TYPES[type(value)])


def dbsize(_state: State, session: Session, _request: Request) -> Reply:
    """``DBSIZE``."""
    return len(session.keys)


def flushall(state: State, _session: Session, _request: Request) -> Reply:
    """``FLUSHALL``."""
    for keys in state.databases:
        keys.clear()
    return OK


def flushdb(_state: State, session: Session, _request: Request) -> Reply:
    """``FLUSHDB``."""
    session.keys.clear()
    return OK


def quit_(_state: State, session: Session, _request: Request) -> Reply:
    """``QUIT``."""
    session.closing = True
    return OK


def _unknown_subcommand(request: Request) -> CommandError:
    name, subcommand = upper(request[0]), bytes(request[1]).decode("latin-1")
    return CommandError(f"ERR unknown subcommand '{subcommand}'. Try {name} HELP.")
