"""What null servers a plan needs, and whether one elsewhere will do."""

from __future__ import annotations

import pytest

from fastbench.errors import UsageError
from fastbench.null_servers import Kind, check_null_server, kind_of
from fastbench.plan import (
    PROTOCOL_GRPC,
    PROTOCOL_HTTP,
    PROTOCOL_RESP,
    Message,
    Plan,
    Step,
    Stream,
    Text,
    Tls,
)

AT = ("127.0.0.1", 1)
PING = Message((Text(b"PING\r\n"),), replies=1)


def plan_of(protocol: int, *before: int, suite: str | None = None) -> Plan:
    """Return a plan with one stream, and steps before it, that speak these protocols.

    ``suite``: the stream's is over TLS with this cipher.
    """
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
        tls=None if suite is None else Tls(server_name="h", suite=suite),
    )
    return Plan(streams=(stream,), threads=1, requests=1)


def advice(plan: Plan, spoken: int, suite: str | None = None) -> str:
    """Return what is said where a null server speaks that; empty = it will do."""
    try:
        check_null_server("redis://h", {Kind(spoken, suite): AT}, plan)
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


@pytest.mark.parametrize(
    ("agreed", "needed"),
    [
        (None, None),
        ("", ""),
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("AES256-GCM-SHA384", "AES256-GCM-SHA384"),
    ],
)
def test_the_cipher_that_is_needed(agreed: str | None, needed: str | None) -> None:
    """The target's own, but for the key exchange of TLS 1.2, which goes by the server's key."""
    (stream,) = plan_of(PROTOCOL_HTTP, suite=agreed).streams

    assert kind_of(stream) == (PROTOCOL_HTTP, needed)


@pytest.mark.parametrize(
    ("agreed", "offered", "said"),
    [
        ("TLS_A", "TLS_A", ""),
        ("DHE-RSA-A", "ECDHE-ECDSA-A", ""),
        (None, "TLS_A", "speaks TLS, and the target does not; start 'fastbench null-server'"),
        ("TLS_A", None, "does not speak TLS, and the target does; start 'fastbench null-server --"),
        ("TLS_A", "TLS_B", "takes the cipher TLS_B, and the target TLS_A; start 'fastbench null-s"),
        ("TLS_A", "TLS_B", "null-server --tls-suite TLS_A' and name that"),
        ("", None, "start 'fastbench null-server --tls' and name that"),
    ],
)
def test_tls_on_one_side(agreed: str | None, offered: str | None, said: str) -> None:
    """Plain text is no measure for TLS, nor one cipher for another; the right one is named."""
    found = advice(plan_of(PROTOCOL_RESP, suite=agreed), PROTOCOL_RESP, offered)

    assert said in found
    assert bool(said) == bool(found)


def test_a_chain_partly_over_tls() -> None:
    """Two steps of one protocol, one of them over TLS, need two null servers."""
    plan = plan_of(PROTOCOL_RESP, PROTOCOL_RESP, suite="TLS_A")

    assert "needs 2 null servers" in advice(plan, PROTOCOL_RESP)
