"""Both ends of a network test: the door to csrc/netprobe and csrc/netserve."""

from typing import Self, final

from fastbench.measured import NetOutcome

@final
class NetProbe:
    """One test of the path to a :class:`NetServer`.

    ``host``: numeric address. ``kind``: 1 TCP_RR, 2 TCP_STREAM, 3 TCP_MAERTS; sizes in bytes, 1 to
    2**30; for a stream ``request_bytes`` is the size of one send. ``timeout_ns``: for connecting,
    and for each wait for the other end.
    Raises :class:`fastbench.errors.EngineError` where a limit is broken.
    """

    def __new__(
        cls,
        host: str,
        port: int,
        kind: int,
        request_bytes: int,
        response_bytes: int,
        warmup_ns: int,
        duration_ns: int,
        timeout_ns: int,
    ) -> Self: ...
    def run(self) -> NetOutcome:
        """Connect, do the test, close; once. Blocks without the interpreter's lock.

        Raises :class:`fastbench.errors.ConnectError` (no server, or it went away),
        :class:`fastbench.errors.ProtocolError` (another kind of server),
        :class:`fastbench.errors.ServerError` (it refuses) or
        :class:`fastbench.errors.EngineError` (the ends counted different bytes).
        """

    def stop(self) -> None:
        """Make a run that goes on in another thread fail at once."""

@final
class NetServer:
    """Answers network tests on its own threads, at a numeric address; port 0 = any free one."""

    def __new__(cls, host: str = "127.0.0.1", port: int = 0) -> Self: ...
    @property
    def port(self) -> int: ...
    def counts(self) -> tuple[int, int, int]:
        """Return how many connections were served, refused and broken off."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *exc: object,
    ) -> None: ...
