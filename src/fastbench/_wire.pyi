"""The reply readers and the histogram of the engine, for tests to hold against other libraries."""

from collections.abc import Iterable
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

@final
class ReplyReader:
    """Reads RESP replies as the engine does.

    ``replies``: top-level replies that make one inference. ``expect``: (type byte as a string,
    length or -1 for any) of each element, nested ones in the order they arrive; empty = anything.
    ``redisai``: "+TIMEDOUT" is a time-out and "+NA" inside an array an error.
    """

    def __new__(
        cls, replies: int = 1, expect: Iterable[tuple[str, int]] = (), redisai: bool = False
    ) -> Self: ...
    def feed(self, data: bytes) -> list[tuple[int, str, str]]:
        """Read all of data and return (outcome, error class, error text) per inference that ended.

        Outcomes: 0 ok, 1 error, 2 timed out. Raises :class:`fastbench.errors.ProtocolError`,
        whose text begins with the offset since the first byte fed; inferences that ended within
        the same data are then lost, and so is the reader.
        """

@final
class HttpReader:
    """Reads HTTP/1.1 replies as the engine does. ``head``: to requests of the method HEAD.

    What it says of a reply is (offset behind it since the first byte fed, outcome, error class,
    error text, whether the peer closes the connection after it). Outcomes: 0 ok, 1 error.
    """

    def __new__(cls, head: bool = False) -> Self: ...
    def feed(self, data: bytes) -> list[tuple[int, int, str, str, bool]]:
        """Read all of data and return what is said of each reply that ended.

        Raises :class:`fastbench.errors.ProtocolError`, whose text begins with the offset since
        the first byte fed; replies that ended within the same data are then lost, and so is the
        reader.
        """

    def end(self) -> tuple[int, int, str, str, bool] | None:
        """Say that the connection ended; return what is said of the reply that this ends."""

@final
class Histogram:
    """Records latencies as the engine does: 64 ns to 1 h, 3 significant digits, all in ns."""

    def __new__(cls) -> Self: ...
    def record(self, value_ns: int) -> None:
        """Record one value, 0 to 2**64 - 1 ns."""

    def counts(self) -> NDArray[np.int64]:
        """Return a copy of the counters, shape (27648,), in HdrHistogram's order."""

    def quantile(self, q: float) -> int:
        """Return the highest value in ns equivalent to the one at quantile q, 0 < q <= 1."""

    @property
    def total(self) -> int:
        """Number of values in the counters."""

    @property
    def clipped(self) -> int:
        """Number of values above 1 h: in no counter."""
