"""A server that answers at once, to measure the client: the door to csrc/nullserver."""

from collections.abc import Sequence
from typing import Self, final

from fastbench.plan import NullAnswer

@final
class NullServer:
    """Answers every request at once, on its own threads; listens from construction on.

    ``host``: numeric address; ``port`` 0 = any free one; ``unix_path`` instead of both.
    ``cpus``: one for each thread, pinned to it; none = not pinned. ``reply_bytes``: of a value;
    ``always_bulk``: by RESP also where ``+OK`` is usual. ``protocol``: that of a plan.
    ``answers``: by HTTP and gRPC, what is answered by path; elsewhere the usual.
    ``tls_suite``: None = in plain text; else over TLS, with a certificate that nobody trusts and
    this cipher only, as OpenSSL calls it; empty = any cipher.
    Raises :class:`fastbench.errors.EngineError` where it cannot listen, a limit is broken or
    there is no such cipher, and :class:`ValueError` for fewer CPUs than threads.
    """

    def __new__(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: str | None = None,
        threads: int = 1,
        cpus: Sequence[int] = (),
        reply_bytes: int = 4004,
        always_bulk: bool = False,
        protocol: int = 1,
        answers: Sequence[NullAnswer] = (),
        tls_suite: str | None = None,
    ) -> Self: ...
    @property
    def port(self) -> int:
        """The TCP port that it listens on; 0 on a unix socket."""

    def start(self) -> None:
        """Create the threads; raises :class:`fastbench.errors.EngineError` where there are none."""

    def stats(self) -> list[tuple[float, int, int]]:
        """Return (CPU seconds, requests, bytes received) of each thread since start."""

    def stop(self) -> None:
        """End the threads and close everything."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *exc: object,
    ) -> None: ...
