"""Whether a null server elsewhere will do for a plan."""

from __future__ import annotations

import pytest

from fastbench.errors import UsageError
from fastbench.null_servers import check_null_server
from fastbench.plan import (
    PROTOCOL_GRPC,
    PROTOCOL_HTTP,
    PROTOCOL_RESP,
    Message,
    Plan,
    Step,
    Stream,
    Text,
)

AT = ("127.0.0.1", 1)
PING = Message((Text(b"PING\r\n"),), replies=1)


def plan_of(protocol: int, *before: int) -> Plan:
    """Return a plan with one stream, and steps before it, that speak these protocols."""
    steps = tuple(
        Step(
            name="get",
            target="redis://h",
            addresses=(AT,),
            connections=1,
            pipeline=1,
            message=PING,
            protocol=spoken,
        )
        for spoken in before
    )
    stream = Stream(
        addresses=(AT,),
        connections=1,
        pipeline=1,
        messages=(PING,),
        protocol=protocol,
        before=steps,
    )
    return Plan(streams=(stream,), threads=1, requests=1)


def advice(plan: Plan, *spoken: int) -> str:
    """Return what is said where a null server speaks these protocols; empty = it will do."""
    try:
        check_null_server("redis://h", dict.fromkeys(spoken, AT), plan)
    except UsageError as error:
        return str(error)
    return ""


def test_one_that_speaks_the_protocol_will_do() -> None:
    """Chains of one protocol need no second null server."""
    assert advice(plan_of(PROTOCOL_RESP, PROTOCOL_RESP), PROTOCOL_RESP) == ""
    assert advice(plan_of(PROTOCOL_HTTP), PROTOCOL_HTTP) == ""


@pytest.mark.parametrize(
    ("protocol", "spoken", "words"),
    [
        (PROTOCOL_HTTP, PROTOCOL_RESP, "start 'fastbench null-server --http' and name that"),
        (PROTOCOL_RESP, PROTOCOL_HTTP, "start 'fastbench null-server' and name that"),
        (PROTOCOL_GRPC, PROTOCOL_HTTP, "start 'fastbench null-server --grpc' and name that"),
    ],
)
def test_another_protocol(protocol: int, spoken: int, words: str) -> None:
    """Where another null server would do, it is named."""
    assert words in advice(plan_of(protocol), spoken)


@pytest.mark.parametrize("spoken", [PROTOCOL_RESP, PROTOCOL_HTTP])
def test_no_null_server_speaks_two_protocols(spoken: int) -> None:
    """The advice for a chain over two is not to start the other one, which is refused too."""
    said = advice(plan_of(PROTOCOL_HTTP, PROTOCOL_RESP), spoken)

    assert "leave it out" in said
    assert "start '" not in said
