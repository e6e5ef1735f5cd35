"""The Open Inference Protocol's bodies byte for byte, and tensors in its replies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastbench.plan import FIELD_ROW, FORM_BLANKS, Fetched, Field, Payload, Text
from fastbench.servers.http_messages import Sent, Wanted
from fastbench.servers.http_replies import Answer
from fastbench.servers.oip_messages import (
    binary_body,
    carried,
    json_form,
    placed_body,
    tensor_of,
)

IMAGE = Sent("x", (2, 3), "float32", Payload(2), 24)
REFERENCE = Sent("r", (2, 1), "float32", Fetched(0), 8)
VALUES = np.array([[1.5, -2.0, 3.25]], dtype="<f4")


def answer(head: object, raw: bytes = b"", json_bytes: int | None = None) -> Answer:
    """Return a reply with ``head`` as JSON before ``raw`` bytes."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    length = (len(text) if raw else 0) if json_bytes is None else json_bytes
    return Answer(200, "OK", "application/json", "", text + raw, length)


def output(name: str = "y", datatype: str = "FP32", **more: object) -> dict[str, object]:
    """Return an output as it stands in a reply."""
    return {"name": name, "datatype": datatype, "shape": [1, 3], **more}


def test_binary_body() -> None:
    """JSON says how many bytes of each input follow, the head how long the JSON is."""
    body = binary_body([IMAGE, REFERENCE], ["y", "z"])

    head = (
        b'{"id":"1","inputs":['
        b'{"name":"x","shape":[2,3],"datatype":"FP32","parameters":{"binary_data_size":24}},'
        b'{"name":"r","shape":[2,1],"datatype":"FP32","parameters":{"binary_data_size":8}}],'
        b'"outputs":[{"name":"y","parameters":{"binary_data":true}},'
        b'{"name":"z","parameters":{"binary_data":true}}]}'
    )
    assert body.parts == (Text(head), Payload(2), Fetched(0))
    assert body.length == len(head) + 32
    assert body.fields == {"Inference-Header-Content-Length": str(len(head))}
    assert body.content_type == "application/octet-stream"


def test_placed_body() -> None:
    """JSON names region, bytes and a place of fixed width; with any offset in it, it is JSON."""
    place = Field(FIELD_ROW, 6, step=24, form=FORM_BLANKS)
    body = placed_body(IMAGE, place, "r1", [Wanted("y")])
    before, found, after = body.parts

    assert isinstance(before, Text)
    assert isinstance(after, Text)
    assert found == place
    text = before.data + b"   240" + after.data
    assert body.length == len(text)
    assert body.fields == {"Inference-Header-Content-Length": str(len(text))}
    [tensor] = json.loads(text)["inputs"]
    assert tensor == {
        "name": "x",
        "shape": [2, 3],
        "datatype": "FP32",
        "parameters": {
            "shared_memory_region": "r1",
            "shared_memory_byte_size": 24,
            "shared_memory_offset": 240,
        },
    }
    assert json.loads(text)["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


def test_placed_outputs() -> None:
    """Each output has its own place, or comes back as bytes; a name may look like the format."""
    places = [Field(FIELD_ROW, 6, base=base, step=8, form=FORM_BLANKS) for base in (0, 100, 200)]
    strange = '"shared_memory_offset":"@"'
    wanted = [Wanted("@", 8, places[1]), Wanted(strange), Wanted("z", 24, places[2])]
    body = placed_body(IMAGE, places[0], "r1", wanted)
    offsets = iter([0, 108, 208])
    text = b"".join(
        part.data if isinstance(part, Text) else f"{next(offsets):6}".encode()
        for part in body.parts
    )

    assert [part for part in body.parts if isinstance(part, Field)] == places
    assert body.length == len(text)
    assert json.loads(text)["outputs"] == [
        {
            "name": name,
            "parameters": {
                "shared_memory_region": "r1",
                "shared_memory_byte_size": size,
                "shared_memory_offset": offset,
            },
        }
        if size
        else {"name": name, "parameters": {"binary_data": True}}
        for name, size, offset in (("@", 8, 108), (strange, 0, 0), ("z", 24, 208))
    ]


def test_all_outputs_are_wanted_where_none_is_known() -> None:
    """Without names the request asks for whatever there is, as bytes too."""
    [head, *_] = binary_body([IMAGE], []).parts

    assert isinstance(head, Text)
    assert json.loads(head.data)["parameters"] == {"binary_data_output": True}


def test_json_form() -> None:
    """With numbers between its two parts it is the protocol's JSON; names may hold anything."""
    sent = Sent('a"%s@', (2, 3), "float32", Payload(2), 24)
    form = json_form(sent, ["y"])

    assert form.flat
    assert json.loads(f"{form.before}[1,2,3,4,5,6]{form.after}") == {
        "id": "1",
        "inputs": [
            {"name": 'a"%s@', "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
        ],
        "outputs": [{"name": "y"}],
    }


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16"])
def test_tensor_in_bytes(datatype: str) -> None:
    """Each output begins where the one before it ends; the one that is wanted is found by name."""
    other = b"12345678"
    wanted = VALUES.astype(f"<f{int(datatype[2:]) // 8}").tobytes()
    outputs = [
        output("z", "INT64", parameters={"binary_data_size": len(other)}),
        output("y", datatype, parameters={"binary_data_size": len(wanted)}),
    ]

    found = tensor_of(answer({"outputs": outputs}, other + wanted), "y")

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VALUES.ravel())


def test_tensor_without_parameters() -> None:
    """Numbers in JSON are found whether parameters are absent, empty or, as in KServe, null."""
    for more in ({}, {"parameters": {}}, {"parameters": None}):
        reply = answer({"outputs": [output("y", data=[1, 2, 3], **more)]})

        assert tensor_of(reply, "y").tolist() == [1, 2, 3]
        assert carried(reply) == {"y"}


def test_tensor_that_lies_elsewhere() -> None:
    """What the reply tells of and does not carry is read by name and bytes; the rest is its own."""
    asked = []

    def lying(name: str, size: int) -> bytes:
        asked.append((name, size))
        return VALUES.tobytes()

    other = np.array([7, 8], "<f4").tobytes()
    outputs = [output("y"), output("z", parameters={"binary_data_size": len(other)})]
    reply = answer({"outputs": outputs}, other)

    assert tensor_of(reply, "y", lying).tolist() == VALUES.ravel().tolist()
    assert tensor_of(reply, "z", lying).tolist() == [7, 8]
    assert asked == [("y", 12)] * 2
    assert carried(reply) == {"z"}
    assert carried(answer({"outputs": [output(), output("j", data=[1])]})) == {"j"}


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"outputs":[1]}', b'{"outputs":[{}]}'])
def test_reply_that_carries_nothing(reply: bytes) -> None:
    """What is no answer carries no outputs."""
    assert carried(answer(reply)) == set()


@pytest.mark.parametrize("datatype", ["BYTES", "BF16"])
def test_outputs_that_are_no_numbers_are_passed_over(datatype: str) -> None:
    """Strings, or numbers that NumPy lacks, hide no other output, as bytes or in JSON."""
    labels = b"\3\0\0\0cat\0"
    outputs = [
        output("labels", datatype, parameters={"binary_data_size": len(labels)}),
        output("more", datatype, data=["a"]),
        output("y", parameters={"binary_data_size": VALUES.nbytes}),
    ]
    reply = answer({"outputs": outputs}, labels + VALUES.tobytes())

    for name in ("y", "labels", ""):
        np.testing.assert_array_equal(tensor_of(reply, name), VALUES.ravel())


@pytest.mark.parametrize("data", [[1.5, -2, 3.25], [[1.5, -2, 3.25]]])
def test_tensor_in_json(data: object) -> None:
    """Flat or nested, the numbers are found; without the wanted name the first output counts."""
    reply = answer({"outputs": [output(data=data), output("z", data=[1])]})

    for name in ("y", "", "none"):
        np.testing.assert_array_equal(tensor_of(reply, name), VALUES.ravel())


@pytest.mark.parametrize(
    "reply",
    [
        answer(b""),
        answer(b"{"),
        answer(b"[]"),
        answer(b'"x"'),
        answer({"outputs": []}),
        answer({"outputs": [1]}),
        answer({"error": "x"}),
        answer({"outputs": [output(data=["a"])]}),
        answer({"outputs": [output(data=[[1], [2, 3]])]}),
        answer({"outputs": [output(datatype="BYTES", data=["a"])]}),
        answer({"outputs": [output()]}),
        answer({"outputs": [output(parameters={"binary_data_size": 12})]}, b"12345678"),
        answer({"outputs": [output(parameters={"binary_data_size": "x"})]}, b"12345678"),
        answer({"outputs": [output(data=[1])]}, json_bytes=5),
    ],
)
def test_what_is_no_tensor_is_empty(reply: Answer) -> None:
    """An empty tensor differs from every right answer, so it is counted as wrong."""
    assert tensor_of(reply).size == 0
