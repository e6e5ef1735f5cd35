"""TensorFlow Serving over gRPC: templates and replies against protobuf's own library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.tfserving_protobuf import (
    AVAILABLE,
    DT_FLOAT,
    DT_STRING,
    LOADING,
    metadata_of,
    parsed,
    shape_of,
    tf,
)

from fastbench.errors import ServerError
from fastbench.models.base import TensorSpec
from fastbench.plan import Fetched, Payload, Text
from fastbench.servers.http_messages import Sent
from fastbench.servers.tfserving_messages import (
    DATATYPES,
    metadata_request,
    output_of,
    predict_body,
    signatures,
    status_request,
    versions,
)
from fastbench.servers.tfserving_model import Version, available, check_signature

IMAGE = Sent("input", (2, 4, 3), "float32", Payload(2), 96)
REFERENCE = Sent("reference", (1, 256), "float32", Fetched(0), 1024)


def on_the_wire(parts: Any, row: bytes, fetched: bytes = b"") -> bytes:
    """Return the bytes that the engine makes of parts."""
    found = b""
    for part in parts:
        if isinstance(part, Text):
            found += part.data
        else:
            found += row if isinstance(part, Payload) else fetched
    return found


def spec(version: str, signature: str = "") -> Any:
    """Return the ModelSpec."""
    chosen = {"version": {"value": int(version)}} if version else {}
    return tf("ModelSpec", name="größe", signature_name=signature, **chosen)


@pytest.mark.parametrize("version", ["", "0", "7", str(2**40)])
@pytest.mark.parametrize("signature", ["", "serving_default"])
def test_request_is_what_the_library_reads_and_writes(version: str, signature: str) -> None:
    """A template with a row in place is the same bytes that protobuf writes for the message."""
    row = np.random.default_rng(1).bytes(96)
    body = predict_body("größe", version, signature, [IMAGE])

    sent = on_the_wire(body.parts, row)

    assert len(sent) == body.length
    tensor = tf("TensorProto", dtype=DT_FLOAT, tensor_shape=shape_of((2, 4, 3)), tensor_content=row)
    wanted = tf("PredictRequest", model_spec=spec(version, signature), inputs={"input": tensor})
    assert parsed("PredictRequest", sent) == wanted
    assert sent == wanted.SerializeToString(deterministic=True)


def test_request_of_two_inputs() -> None:
    """Each input's bytes stand in its own tensor, those of a chain too."""
    row, fetched = b"r" * 96, b"f" * 1024
    body = predict_body("fraud", "", "", [IMAGE, REFERENCE])
    found = parsed("PredictRequest", on_the_wire(body.parts, row, fetched))

    assert {name: t.tensor_content for name, t in found.inputs.items()} == {
        "input": row,
        "reference": fetched,
    }


@pytest.mark.parametrize("version", ["", "3"])
def test_questions(version: str) -> None:
    """What is asked before the run is what protobuf writes."""
    status = tf("GetModelStatusRequest", model_spec=spec(version))
    assert status_request("größe", version) == status.SerializeToString()
    metadata = tf(
        "GetModelMetadataRequest", model_spec=spec(version), metadata_field=["signature_def"]
    )
    assert metadata_request("größe", version) == metadata.SerializeToString()


def test_versions() -> None:
    """Number, state and message of each version; some state must be AVAILABLE."""
    states = [
        {"version": 1, "state": AVAILABLE},
        {"version": 2, "state": LOADING, "status": {"error_code": 14, "error_message": "slow"}},
        {"version": 3, "state": 99},
    ]
    reply = tf("GetModelStatusResponse", model_version_status=states).SerializeToString()

    found = versions(reply)

    assert found == [
        Version("1", "AVAILABLE"),
        Version("2", "LOADING", "slow"),
        Version("3", "99"),
    ]
    assert available("u", found) == "1"
    with pytest.raises(ServerError, match="AVAILABLE: version 2 LOADING slow; version 3 99"):
        available("u", found[1:])
    with pytest.raises(ServerError, match="none is there"):
        available("u", versions(b""))


def test_signatures() -> None:
    """Inputs and outputs of each signature; unknown sizes, ranks and types stay unknown."""
    takes = {"x": tf("TensorInfo", name="x:0", dtype=DT_FLOAT, tensor_shape=shape_of((-1, 4, 3)))}
    gives = {
        "labels": tf("TensorInfo", dtype=DT_STRING, tensor_shape={"unknown_rank": True}),
    }
    reply = metadata_of(serving_default=(takes, gives), other=({}, {})).SerializeToString()

    found = signatures(reply)

    assert found["serving_default"] == (
        (TensorSpec("x", "float32", (None, 4, 3)),),
        (TensorSpec("labels", "DataType 7", None),),
    )
    assert found["other"] == ((), ())
    check_signature("u", "", found)
    check_signature("u", "anything", {})
    with pytest.raises(ServerError, match=r"no signature x, only .*signature=NAME"):
        check_signature("u", "x", found)


@pytest.mark.parametrize(
    ("dtype", "field"),
    [
        ("float32", "float_val"),
        ("float64", "double_val"),
        ("float16", "half_val"),
        ("int32", "int_val"),
        ("int8", "int_val"),
        ("int64", "int64_val"),
        ("uint16", "int_val"),
        ("uint32", "uint32_val"),
        ("uint64", "uint64_val"),
        ("bool", "bool_val"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_output(dtype: str, field: str, *, raw: bool) -> None:
    """Bytes and single values of every type are read, and the output is found by its name."""
    values = np.array([0, 1, 1, 0, 1]).astype(dtype)
    if dtype.startswith(("float", "int")):
        values = np.array([0, 1, -2, 3, 100]).astype(dtype)
    one_by_one = values.view(np.uint16) if dtype == "float16" else values
    held = {"tensor_content": values.tobytes()} if raw else {field: one_by_one.tolist()}
    tensors = {
        "labels": tf("TensorProto", dtype=DT_STRING, string_val=[b"cat"]),
        "wanted": tf("TensorProto", dtype=DATATYPES[dtype], tensor_shape=shape_of((5,)), **held),
    }
    reply = tf("PredictResponse", outputs=tensors).SerializeToString()

    for name in ("wanted", "labels", ""):
        assert output_of(reply, name).tolist() == values.astype(np.float32).tolist()


def test_output_that_cannot_be_read() -> None:
    """What is no answer is empty: it differs from every right one."""
    labels = {"o": tf("TensorProto", dtype=DT_STRING, string_val=[b"cat"])}
    uneven = {"o": tf("TensorProto", dtype=DT_FLOAT, tensor_content=b"abc")}
    nothing = {"o": tf("TensorProto", dtype=DT_FLOAT)}
    replies = [tf("PredictResponse", outputs=o) for o in (labels, uneven, nothing, {})]
    for reply in (b"\xff", b"\x08\x01", *(r.SerializeToString() for r in replies)):
        assert output_of(reply, "o").size == 0
