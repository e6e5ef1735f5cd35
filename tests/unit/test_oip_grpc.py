"""The Open Inference Protocol over gRPC: templates and replies against protobuf's own library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from support.oip_protobuf import oip, parsed

from fastbench.errors import UsageError
from fastbench.models.base import TensorSpec
from fastbench.plan import FIELD_ROW, FORM_VARINT, Fetched, Field, Payload, Text
from fastbench.servers.http_messages import Sent, Wanted
from fastbench.servers.oip_grpc import (
    carried,
    counters,
    infer_body,
    is_ready,
    model_about,
    model_request,
    output_of,
    placed_body,
    region_request,
    server_about,
    typed_body,
)
from fastbench.servers.protobuf import varint
from fastbench.servers.shared_memory import Region
from fastbench.servers.triton_grpc import Statistics

if TYPE_CHECKING:
    from fastbench.servers.grpc_server import GrpcServer

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


@pytest.mark.parametrize("version", ["", "3"])
@pytest.mark.parametrize("outputs", [(), ("probabilities", "größe")])
def test_request_is_what_the_library_reads_and_writes(
    version: str, outputs: tuple[str, ...]
) -> None:
    """A template with a row in place is the same bytes that protobuf writes for the message."""
    row = np.random.default_rng(1).bytes(96)
    body = infer_body("mobilenet", version, [IMAGE], outputs)

    sent = on_the_wire(body.parts, row)

    assert len(sent) == body.length
    wanted = oip(
        "ModelInferRequest",
        model_name="mobilenet",
        model_version=version,
        inputs=[{"name": "input", "datatype": "FP32", "shape": [2, 4, 3]}],
        outputs=[{"name": name} for name in outputs],
        raw_input_contents=[row],
    )
    assert parsed("ModelInferRequest", sent) == wanted
    assert sent == wanted.SerializeToString(deterministic=True)


def test_request_of_two_inputs() -> None:
    """The bytes of each input stand in the order of the inputs, fetched ones too."""
    row, fetched = b"r" * 96, b"f" * 1024
    body = infer_body("fraud", "", [IMAGE, REFERENCE], ())
    found = parsed("ModelInferRequest", on_the_wire(body.parts, row, fetched))

    assert [i.name for i in found.inputs] == ["input", "reference"]
    assert list(found.raw_input_contents) == [row, fetched]


@pytest.mark.parametrize(("dtype", "datatype"), [("float32", "FP32"), ("float64", "FP64")])
@pytest.mark.parametrize("outputs", [(), ("y",)])
def test_typed_request_is_what_the_library_writes(
    dtype: str, datatype: str, outputs: tuple[str, ...]
) -> None:
    """Numbers in contents are the row's bytes in place, byte for byte as protobuf packs them."""
    values = np.random.default_rng(2).normal(size=24).astype(dtype)
    sent = Sent("input", (2, 4, 3), dtype, Payload(2), values.nbytes)
    body = typed_body("m", "2", [sent], outputs)

    field = {"FP32": "fp32_contents", "FP64": "fp64_contents"}[datatype]
    wanted = oip(
        "ModelInferRequest",
        model_name="m",
        model_version="2",
        inputs=[
            {
                "name": "input",
                "datatype": datatype,
                "shape": [2, 4, 3],
                "contents": {field: values.tolist()},
            }
        ],
        outputs=[{"name": name} for name in outputs],
    )
    assert on_the_wire(body.parts, values.tobytes()) == wanted.SerializeToString()
    assert body.length == len(wanted.SerializeToString())


def test_typed_request_of_two_inputs() -> None:
    """What a chain gets stands in the second input's contents."""
    row, fetched = np.arange(24, dtype="<f4"), np.arange(256, dtype="<f4")
    body = typed_body("fraud", "", [IMAGE, REFERENCE], ())
    found = parsed("ModelInferRequest", on_the_wire(body.parts, row.tobytes(), fetched.tobytes()))

    assert [list(i.contents.fp32_contents) for i in found.inputs] == [list(row), list(fetched)]
    assert not found.raw_input_contents


def test_typed_request_of_other_numbers() -> None:
    """Numbers that protobuf writes in another form than the dataset are refused."""
    with pytest.raises(UsageError, match="--body raw"):
        typed_body("m", "", [Sent("x", (1, 3), "uint8", Payload(1), 3)], ())


def test_request_of_an_input_in_shared_memory() -> None:
    """With any offset in its place the library reads region, bytes and offset, and no contents."""
    place = Field(FIELD_ROW, 4, step=96, form=FORM_VARINT)
    body = placed_body("mobilenet", "3", IMAGE, place, "region-1", [Wanted("y")])
    before, found, after = body.parts

    assert isinstance(before, Text)
    assert isinstance(after, Text)
    assert found == place
    for offset in (0, 96, 2**28 - 1):
        sent = before.data + varint(offset, 4) + after.data
        assert len(sent) == body.length
        parameters = [
            {"key": "shared_memory_region", "value": {"string_param": "region-1"}},
            {"key": "shared_memory_byte_size", "value": {"int64_param": 96}},
            {"key": "shared_memory_offset", "value": {"int64_param": offset}},
        ]
        tensor = {"name": "input", "datatype": "FP32", "shape": [2, 4, 3]}
        assert parsed("ModelInferRequest", sent) == oip(
            "ModelInferRequest",
            model_name="mobilenet",
            model_version="3",
            inputs=[tensor | {"parameters": parameters}],
            outputs=[{"name": "y"}],
        )


def test_request_of_outputs_in_shared_memory() -> None:
    """With any offsets in their places the library reads those of the input and of each output."""
    places = [Field(FIELD_ROW, 3, base=b, step=40, form=FORM_VARINT) for b in (0, 960, 1200)]
    wanted = [Wanted("y", 40, places[1]), Wanted("words"), Wanted("z", 80, places[2])]
    body = placed_body("m", "", IMAGE, places[0], "r", wanted)
    offsets = [96, 1000, 2**21 - 1]
    numbers = iter(offsets)
    sent = b"".join(
        part.data if isinstance(part, Text) else varint(next(numbers), 3) for part in body.parts
    )
    told = [
        [
            {"key": "shared_memory_region", "value": {"string_param": "r"}},
            {"key": "shared_memory_byte_size", "value": {"int64_param": size}},
            {"key": "shared_memory_offset", "value": {"int64_param": offset}},
        ]
        for size, offset in zip((96, 40, 80), offsets, strict=True)
    ]

    assert [part for part in body.parts if isinstance(part, Field)] == places
    assert body.length == len(sent)
    assert parsed("ModelInferRequest", sent) == oip(
        "ModelInferRequest",
        model_name="m",
        inputs=[{"name": "input", "datatype": "FP32", "shape": [2, 4, 3], "parameters": told[0]}],
        outputs=[
            {"name": "y", "parameters": told[1]},
            {"name": "words"},
            {"name": "z", "parameters": told[2]},
        ],
    )


def test_raw_output_beside_empty_contents() -> None:
    """Typed contents that are there and empty, as MLServer sends them, hide no raw ones."""
    values = np.array([1.5, -2.0], "<f4")
    about = {"name": "y", "datatype": "FP32", "shape": [1, 2], "contents": {}}
    reply = {"outputs": [about], "raw_output_contents": [values.tobytes()]}
    full = oip("ModelInferResponse", **reply).SerializeToString()
    empty = oip("ModelInferResponse", outputs=[about]).SerializeToString()

    assert b"\x2a\x00" in full  # field 5 of the output, without bytes
    assert output_of(full, "y").tolist() == values.tolist()
    assert (carried(full), carried(empty)) == ({"y"}, set())


def test_output_that_lies_elsewhere() -> None:
    """What the reply tells of and does not carry is read by name and bytes, as Triton's replies."""
    values = np.array([1.5, -2.0], "<f4")
    message = oip(
        "ModelInferResponse",
        outputs=[
            {"name": "far", "datatype": "FP32", "shape": [1, 2]},
            {"name": "near", "datatype": "FP32", "shape": [1, 1]},
        ],
        raw_output_contents=[b"", values[:1].tobytes()],
    ).SerializeToString()
    asked = []

    def lying(name: str, size: int) -> bytes:
        asked.append((name, size))
        return values.tobytes()

    assert output_of(message, "far", lying).tolist() == [1.5, -2.0]
    assert output_of(message, "near", lying).tolist() == [1.5]
    assert output_of(message, "far").size == 0
    assert asked == [("far", 8)] * 2
    assert carried(message) == {"near"}


def test_request_for_a_region() -> None:
    """Name, key and bytes are those that the library writes; the offset is 0, which is left out."""
    wanted = oip("RegisterRequest", name="r", key="/r", byte_size=70_000)

    assert region_request(Region("r", "/r", 70_000)) == wanted.SerializeToString()


def test_model_request() -> None:
    """Name and version, and without one the server chooses."""
    assert model_request("m", "") == oip("ModelRequest", name="m").SerializeToString()
    both = oip("ModelRequest", name="m", version="12")
    assert model_request("m", "12") == both.SerializeToString()


def test_readiness() -> None:
    """Ready is true, or it is not: false is left out on the wire."""
    assert is_ready(oip("Ready", ready=True).SerializeToString())
    assert not is_ready(oip("Ready", ready=False).SerializeToString())


def test_metadata() -> None:
    """What server and model say of themselves; sizes below zero are any size."""
    server = oip("ServerMetadataResponse", name="triton", version="2.51", extensions=["a", "b"])
    about = server_about(server.SerializeToString())
    assert (about.name, about.version, about.extensions) == ("triton", "2.51", ("a", "b"))

    model = oip(
        "ModelMetadataResponse",
        name="m",
        versions=["1", "2"],
        platform="onnx",
        inputs=[{"name": "i", "datatype": "FP32", "shape": [-1, 224, 224, 3]}],
        outputs=[{"name": "o", "datatype": "BYTES", "shape": []}],
    )
    told = model_about(model.SerializeToString())
    assert (told.name, told.versions, told.platform) == ("m", ("1", "2"), "onnx")
    assert told.inputs == (TensorSpec("i", "float32", (None, 224, 224, 3)),)
    assert told.outputs == (TensorSpec("o", "BYTES", ()),)


@pytest.mark.parametrize(
    ("datatype", "dtype", "field"),
    [
        ("FP32", "float32", "fp32_contents"),
        ("FP64", "float64", "fp64_contents"),
        ("INT32", "int32", "int_contents"),
        ("INT8", "int8", "int_contents"),
        ("INT64", "int64", "int64_contents"),
        ("UINT16", "uint16", "uint_contents"),
        ("UINT64", "uint64", "uint64_contents"),
        ("BOOL", "bool", "bool_contents"),
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_output(datatype: str, dtype: str, field: str, *, raw: bool) -> None:
    """Raw and typed contents of every type are read, and the output is found by its name."""
    values = np.array([0, 1, 1, 0, 1]).astype(dtype)
    if dtype.startswith(("float", "int")):
        values = np.array([0, 1, -2, 3, 100]).astype(dtype)
    other = np.array([1, 0, 1]).astype(dtype)
    both = [("other", other), ("wanted", values)]
    typed = {} if raw else {n: {"contents": {field: v.tolist()}} for n, v in both}
    message = oip(
        "ModelInferResponse",
        outputs=[{"name": n, "datatype": datatype, **typed.get(n, {})} for n, _ in both],
        raw_output_contents=[v.tobytes() for _, v in both] if raw else [],
    )

    reply = message.SerializeToString()
    assert output_of(reply, "wanted").tolist() == values.astype(np.float32).tolist()
    assert output_of(reply, "").tolist() == other.astype(np.float32).tolist()


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
@pytest.mark.parametrize("raw", [True, False])
def test_outputs_that_are_no_numbers_are_passed_over(datatype: str, *, raw: bool) -> None:
    """Strings, or numbers that NumPy lacks, hide no other output, whatever their contents."""
    values = np.array([1.5, -2.0], "<f4")
    strange = {"name": "labels", "datatype": datatype, "contents": {"bytes_contents": [b"cat"]}}
    typed = {"contents": {"fp32_contents": values.tolist()}}
    if raw:
        strange, typed = {k: v for k, v in strange.items() if k != "contents"}, {}
    message = oip(
        "ModelInferResponse",
        outputs=[strange, {"name": "scores", "datatype": "FP32", **typed}],
        raw_output_contents=[b"\3\0\0\0cat", values.tobytes()] if raw else [],
    )

    for name in ("scores", "labels", ""):
        assert output_of(message.SerializeToString(), name).tolist() == [1.5, -2.0]


def test_output_that_cannot_be_read() -> None:
    """What is no answer is empty: it differs from every right one."""
    text = oip("ModelInferResponse", outputs=[{"name": "o", "datatype": "BYTES"}])
    uneven = oip(
        "ModelInferResponse",
        outputs=[{"name": "o", "datatype": "FP32"}],
        raw_output_contents=[b"abc"],
    )
    for reply in (b"", b"\xff", *(m.SerializeToString() for m in (text, uneven, oip("Ready")))):
        assert output_of(reply, "o").size == 0


def test_statistics() -> None:
    """Counts and durations by model and version, with the names that they have in JSON."""
    each = {
        "inference_count": 10,
        "execution_count": 4,
        "inference_stats": {
            "success": {"count": 3, "ns": 300},
            "queue": {"count": 3, "ns": 2**40},
            "compute_infer": {"count": 3, "ns": 7},
            "cache_hit": {"count": 1, "ns": 11},
            "cache_miss": {"count": 2, "ns": 5},
        },
    }
    message = oip(
        "ModelStatisticsResponse",
        model_stats=[{"name": "m", "version": version, **each} for version in ("1", "2")],
    )

    both = counters(message.SerializeToString())

    assert list(both) == [("m", "1"), ("m", "2")]
    for found in both.values():
        assert (found["inference_count"], found["execution_count"]) == (10, 4)
        assert (found["queue_count"], found["queue_ns"]) == (3, 2**40)
        assert found["compute_infer_ns"] == 7
        assert (found["cache_hit_ns"], found["cache_miss_count"]) == (11, 2)


def test_version_counts_once() -> None:
    """All versions of a model are added up; one that two questions tell of counts once."""

    class Server:
        """Knows two versions of ``m``; asked for one of them, it tells of that alone."""

        def call(self, _method: str, request: bytes, _timeout_s: float) -> bytes:
            wanted = parsed("ModelRequest", request).version
            told = [
                {"name": "m", "version": version, "inference_count": count}
                for version, count in (("1", 7), ("2", 3))
                if wanted in {"", version}
            ]
            return oip("ModelStatisticsResponse", model_stats=told).SerializeToString()

    found = Statistics(cast("GrpcServer", Server()), ["m", "m/1"]).read()

    assert found.counters["inference_count"] == 10
