"""The output of a model that is compared, out of a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


def nowhere(_name: str, _size: int) -> bytes:
    """Return nothing: no output lies anywhere but in replies."""
    return b""


def output_in(
    message: bytes, read: Callable[[bytes], Mapping[str, NDArray[Any]]], name: str
) -> NDArray[np.float32]:
    """Return the output ``name`` of what ``read`` finds in a message, or else the first one.

    Flat; empty where there is none, or the message is not to be read.
    """
    nothing = np.empty(0, np.float32)
    try:
        outputs = read(message)
        found = outputs.get(name, next(iter(outputs.values()), nothing))
        return found.astype(np.float32).ravel()
    except (ProtocolError, LookupError, ValueError, TypeError, OverflowError):
        return nothing
