"""TorchServe over gRPC: templates and replies against protobuf's own library."""

from __future__ import annotations

import numpy as np
import pytest
from support.torchserve_protobuf import parsed, torch

from fastbench.plan import Fetched, Payload, Text
from fastbench.servers.dialect import Served
from fastbench.servers.http_messages import Sent
from fastbench.servers.torchserve_grpc import TorchServeGrpc
from fastbench.targets import parse_target

ROW = Sent("transaction", (1, 30), "float32", Payload(1), 120)
REFERENCE = Sent("reference", (1, 256), "float32", Fetched(0), 1024)
BYTES = {Payload(1): b"r" * 120, Fetched(0): b"f" * 1024}


def request(url: str, form: str, *sent: Sent) -> bytes:
    """Return the bytes of a request as the engine makes them."""
    body = TorchServeGrpc().body(form, parse_target(url), sent, Served())
    data = b"".join(p.data if isinstance(p, Text) else BYTES[p] for p in body.parts)
    assert len(data) == body.length
    return data


@pytest.mark.parametrize("form", ["raw", "multipart"])
@pytest.mark.parametrize(("path", "version"), [("m", ""), ("m/1.0", "1.0")])
def test_one_input_is_data(form: str, path: str, version: str) -> None:
    """The template with a row in place is what protobuf writes for the one input ``data``."""
    wanted = torch(
        "PredictionsRequest", model_name="m", model_version=version, input={"data": b"r" * 120}
    )

    assert request(f"torchserve+grpc://h/{path}", form, ROW) == wanted.SerializeToString()


def test_two_inputs() -> None:
    """Raw, they are one after the other in ``data``; as multipart each has its name."""
    raw = parsed("PredictionsRequest", request("torchserve+grpc://h/m", "raw", ROW, REFERENCE))
    named = request("torchserve+grpc://h/m", "multipart", ROW, REFERENCE)

    assert dict(raw.input) == {"data": b"r" * 120 + b"f" * 1024}
    assert dict(parsed("PredictionsRequest", named).input) == {
        "transaction": b"r" * 120,
        "reference": b"f" * 1024,
    }


@pytest.mark.parametrize(
    ("prediction", "found"),
    [
        (b"[1.5, -2]", [1.5, -2.0]),
        (np.array([1.5, -2.0], "<f4").tobytes(), [1.5, -2.0]),
        (b"", []),
        (b"{", []),
    ],
)
def test_reply(prediction: bytes, found: list[float]) -> None:
    """A prediction is JSON or float32, and nothing where it is neither."""
    reply = torch("PredictionResponse", prediction=prediction).SerializeToString()

    assert TorchServeGrpc().tensor(reply, Served()).tolist() == found
    assert TorchServeGrpc().tensor(b"\xff", Served()).size == 0
