"""Any server that speaks Redis' protocol: reaching it, logging in, asking what it is."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastbench.config import TlsConfig
from fastbench.errors import ConnectError, ModelError, ProtocolError, ServerError
from fastbench.monitor.watched import Watched
from fastbench.password import PASSWORD_VARIABLE, hidden, password
from fastbench.servers import local_process, redis_metrics
from fastbench.servers.redis_metrics import RedisMetrics
from fastbench.servers.resp import command, message
from fastbench.servers.tls import Secured, ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from fastbench.plan import Message, Tls
    from fastbench.targets import Target

CONNECT_TIMEOUT_S = 10.0
FILE_ARGUMENT_BYTES = 256 * 1024 * 1024  # below RedisAI's MODEL_CHUNK_SIZE, Redis' bulk limit
FILE_BLOCK_BYTES = 1024 * 1024  # of a file, in memory at a time
COMMAND_TIMEOUT_S = 600.0  # loading a large model blocks the server


class RedisServer:
    """A Redis-speaking server over redis-py; use as a context manager.

    ``address``: numeric host and port, or the path of a unix socket. ``info``: fields of INFO,
    empty where it is forbidden.

    Raises :class:`ConnectError` when nobody listens, :class:`ProtocolError` when what listens does
    not speak RESP, :class:`ServerError` when it refuses the login.
    """

    def __init__(self, target: Target, tls: TlsConfig | None = None) -> None:
        """Connect to ``target``; ``tls``: how, where it is over TLS."""
        self.target = target
        self._secured = Secured(tls or TlsConfig(), target.host) if target.tls else None
        self._password = password()
        self.address = self._resolve()
        self._client = self._make_client()
        with self._errors():
            self._client.ping()
            if self._secured:
                self._secured.heard = True
            self.info = self._read_info()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @property
    def tls(self) -> Tls | None:
        """How the engine is to speak TLS, with the cipher that was agreed on; None = not at all."""
        return self._secured.plan if self._secured else None

    @property
    def is_null_server(self) -> bool:
        """Whether it answers without computing (``fastbench null-server``)."""
        return "fastbench_null_server" in self.info

    @property
    def name(self) -> str:
        """What it calls itself, with its version."""
        if self.is_null_server:
            return "fastbench null server"
        if "fastbench_serve" in self.info:
            return f"fastbench {self.info['fastbench_serve']} embedded server"
        if "valkey_version" in self.info:
            return f"Valkey {self.info['valkey_version']}"
        return f"Redis {self.info.get('redis_version', '(version not told)')}"

    @property
    def details(self) -> dict[str, str]:
        """What INFO says that a reader of the result may ask for."""
        kept = ("os", "redis_mode", "redis_version", "valkey_version")
        told = {k: str(self.info[k]) for k in kept if k in self.info}
        return told | ({"tls": self._secured.agreed} if self._secured else {})

    @property
    def local_pid(self) -> int | None:
        """The server's process id where it runs on this machine; None where that is not sure."""
        return local_process.find(self.address, int(self.info.get("process_id", 0)))

    def metrics(self, model_keys: Sequence[str] = ()) -> RedisMetrics:
        """Return what asks the server about itself, and about models, over its own connection."""
        client = self._make_client(timeout_s=redis_metrics.TIMEOUT_S, tries=1)
        return RedisMetrics(client, model_keys)

    def watched(self, *model_keys: str) -> Watched:
        """Return what a run watches of the server, and of the models under ``model_keys``."""
        return Watched(
            url=self.target.url,
            address=self.address,
            pid=self.local_pid,
            ask=None if self.is_null_server else self.metrics,
            models=model_keys,
        )

    def opening(self, resp: int = 2) -> tuple[Message, ...]:
        """Return what each connection of the engine must send first, in RESP 2 or 3."""
        login: tuple[str, ...] = ()
        if self._password:
            login = ("AUTH", self.target.user or "default", self._password)
        if resp == 3:  # noqa: PLR2004 - the protocol's version
            return (message([command("HELLO", "3", *login)], replies=1),)
        if not self._password:
            return ()
        user = (self.target.user,) if self.target.user else ()
        return (message([command("AUTH", *user, self._password)], replies=1),)

    def execute(self, *arguments: Any) -> Any:
        """Run one command; an error reply raises :class:`ServerError` with its text."""
        with self._errors():
            return self._client.execute_command(*arguments)

    def execute_with_file(self, arguments: Sequence[str | int], path: Path) -> Any:
        """Run one command that ends with a file, cut into arguments of FILE_ARGUMENT_BYTES.

        The file, a model's, is never in memory as a whole. Raises :class:`ServerError` for an
        error reply, :class:`ModelError` where the file becomes shorter meanwhile.
        """
        with path.open("rb") as file, self._errors():
            pieces = _with_file(arguments, file)
            pool = self._client.connection_pool
            connection = pool.get_connection()
            try:
                connection.send_packed_command(pieces)
                return connection.read_response()
            finally:
                pool.release(connection)

    def _make_client(self, timeout_s: float = COMMAND_TIMEOUT_S, tries: int = 2) -> redis.Redis:
        options: dict[str, Any] = {
            "protocol": 2,  # HELLO is unknown to servers before Redis 6
            "socket_connect_timeout": min(CONNECT_TIMEOUT_S, timeout_s),
            "socket_timeout": timeout_s,
            "username": self.target.user or None,
            "password": self._password or None,
            "retry": Retry(NoBackoff(), tries - 1),
        }
        if isinstance(self.address, str):
            return redis.Redis(**options, unix_socket_path=self.address)
        options |= {"host": self.address[0], "port": self.address[1]}
        if self._secured:
            return redis.Redis.from_pool(self._secured.pool(**options))
        return redis.Redis(**options)

    def _resolve(self) -> tuple[str, int] | str:
        """Return the numeric address that answers, for the engine."""
        if self.target.path:
            return self.target.path
        with self._errors():
            pair = (self.target.host, self.target.port)
            with socket.create_connection(pair, CONNECT_TIMEOUT_S) as probe:
                host, port = probe.getpeername()[:2]
                if self._secured:
                    self._secured.try_on(probe)
        return host, port

    def _read_info(self) -> dict[str, Any]:
        try:
            return dict(self._client.info())
        except redis.ResponseError:  # a managed service may forbid it
            return {}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn redis-py's errors into ours, with the target's name."""
        url = self.target.url
        try:
            yield
        except redis.AuthenticationError as e:
            msg = (
                f"{url} refused the login: {hidden(str(e))}; give the user in the URL and the "
                f"password in {PASSWORD_VARIABLE} or by --password-file"
            )
            raise ServerError(msg) from e
        except redis.ResponseError as e:
            raise ServerError(hidden(str(e))) from e
        except (redis.ConnectionError, redis.TimeoutError, OSError) as e:
            found = self._secured.explain(e) if self._secured else None
            found = found or f"{_reason(e)}; {self._question(e)}"
            msg = f"cannot connect to {url}: {found}"
            raise ConnectError(msg) from e
        except (redis.InvalidResponse, AttributeError, TypeError, ValueError) as e:
            # redis-py stumbles over replies of a type that Redis would not give.
            alert = r"\x15" in str(e)  # how a record of TLS begins that says what is wrong
            hint = "; it speaks TLS: use rediss:// or redisais://" if alert else ""
            msg = f"{url} does not speak RESP: {hidden(str(e))}{hint}"
            raise ProtocolError(msg) from e

    def _question(self, error: Exception) -> str:
        if ended(error) and not (self._secured or self.target.path):
            return "does it speak TLS there? then use rediss:// or redisais://"
        return "is the server running there?"


def _with_file(arguments: Sequence[str | int], file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a command (RESP: an array of bulk strings) that ends with a file."""
    size = os.fstat(file.fileno()).st_size
    sizes = [min(FILE_ARGUMENT_BYTES, size - i) for i in range(0, size, FILE_ARGUMENT_BYTES)]
    words = [str(argument).encode() for argument in arguments]
    head = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    yield b"*%d\r\n%b" % (len(words) + len(sizes), head)
    for argument_bytes in sizes:
        yield b"$%d\r\n" % argument_bytes
        for at in range(0, argument_bytes, FILE_BLOCK_BYTES):
            block = file.read(min(FILE_BLOCK_BYTES, argument_bytes - at))
            if len(block) < min(FILE_BLOCK_BYTES, argument_bytes - at):
                msg = f"{file.name} became shorter while it was sent"
                raise ModelError(msg)
            yield block
        yield b"\r\n"


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(getattr(error, "strerror", None) or error)
