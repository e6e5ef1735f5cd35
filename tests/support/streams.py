"""The stream that most tests need: one address, one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastbench.plan import Message, Stream, Text

if TYPE_CHECKING:
    from fastbench.plan import Address, Data

PING = Message((Text(b"*1\r\n$4\r\nPING\r\n"),), replies=1)


def stream_of(
    address: Address,
    connections: int = 1,
    pipeline: int = 1,
    message: Message = PING,
    *,
    data: Data | None = None,
    **more: Any,
) -> Stream:
    """Return the stream that sends ``message`` to ``address``."""
    return Stream(
        addresses=(address,),
        connections=connections,
        pipeline=pipeline,
        messages=(message,),
        data=() if data is None else (data,),
        **more,
    )
