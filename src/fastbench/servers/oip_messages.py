"""The Open Inference Protocol v2 over HTTP: bodies of requests, and the tensor in a reply.

Sources: KServe's Open Inference Protocol (REST), and Triton's binary tensor data extension: the
JSON comes first, the field Inference-Header-Content-Length says how long it is, and then the
tensors follow one after another, little-endian.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.plan import Text
from fastbench.servers.http_messages import BYTES, Body, JsonForm
from fastbench.servers.http_replies import JSON_LENGTH, NOTHING
from fastbench.servers.outputs import nowhere
from fastbench.servers.shared_memory import BYTES as PLACED_BYTES
from fastbench.servers.shared_memory import OFFSET, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastbench.plan import Field, Part
    from fastbench.servers.http_messages import Sent, Wanted
    from fastbench.servers.http_replies import Answer

#: The protocol's name of a type → NumPy's.
NUMPY_TYPES = {
    "BOOL": "bool",
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
DATATYPES = {name: datatype for datatype, name in NUMPY_TYPES.items()}
_ID = "1"  # optional by the protocol, but some servers fail without one
_DATA = "@"
_QUOTED = f'"{_DATA}"'.encode()
_OPEN = f'"{OFFSET}":'.encode() + _QUOTED  # in no name: quotes are escaped there


def binary_body(sent: Sequence[Sent], outputs: Sequence[str]) -> Body:
    """Return JSON and then the bytes of each input; outputs are wanted as bytes too.

    ``outputs``: their names; empty = all that there are.
    """
    inputs = [_head(s) | {"parameters": {"binary_data_size": s.length}} for s in sent]
    head = _request(inputs, [_as_bytes(name) for name in outputs])
    return Body(
        BYTES,
        (Text(head), *(s.part for s in sent)),
        len(head) + sum(s.length for s in sent),
        {JSON_LENGTH: str(len(head))},
    )


def placed_body(sent: Sent, place: Field, region: str, outputs: Sequence[Wanted]) -> Body:
    """Return JSON that names where in a region of shared memory the one input lies.

    ``place``: its offset in bytes; blanks before a number mean nothing in JSON. Outputs without an
    offset of their own come back as in :func:`binary_body`.
    """
    inputs = [_head(sent) | {"parameters": _placed(region, sent.length)}]
    wanted = [
        {"name": each.name, "parameters": _placed(region, each.size)}
        if each.offset
        else _as_bytes(each.name)
        for each in outputs
    ]
    texts = _request(inputs, wanted).replace(_OPEN, _OPEN.replace(_QUOTED, b"\0")).split(b"\0")
    offsets = [place, *(each.offset for each in outputs if each.offset)]
    parts: list[Part] = [Text(texts[0])]
    for offset, text in zip(offsets, texts[1:], strict=True):
        parts += [offset, Text(text)]
    length = sum(map(len, texts)) + sum(offset.width for offset in offsets)
    return Body(BYTES, tuple(parts), length, {JSON_LENGTH: str(length)})


def json_form(sent: Sent, outputs: Sequence[str]) -> JsonForm:
    """Return what stands around the numbers of one input."""
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    text = _json({"id": _ID, "inputs": [_head(sent) | {"data": _DATA}]} | wanted).decode()
    before, after = text.split(f'"data":"{_DATA}"')
    return JsonForm(f'{before}"data":', after, flat=True)


def tensor_of(
    answer: Answer, name: str = "", lying: Callable[[str, int], bytes] = nowhere
) -> NDArray[np.float32]:
    """Return the output ``name``, or else the first of numbers, as float32; empty without one.

    ``lying``: reads so many bytes of an output that the reply tells of and does not carry.
    """
    try:
        outputs = _outputs(answer, lying)
        found = outputs.get(name, next(iter(outputs.values())))
        return found.astype(np.float32).ravel()
    except (ValueError, TypeError, LookupError, AttributeError, StopIteration):
        return NOTHING


def carried(answer: Answer) -> set[str]:
    """Return the outputs whose contents are in a reply; none where it cannot be read."""
    try:
        told = json.loads(answer.body[: answer.json_bytes or len(answer.body)])["outputs"]
        return {output["name"] for output in told if "data" in output or _size(output)}
    except (ValueError, TypeError, LookupError, AttributeError):
        return set()


def _outputs(answer: Answer, lying: Callable[[str, int], bytes]) -> dict[str, NDArray[Any]]:
    """Return the outputs that are numbers. Raises where the reply is not the protocol's."""
    at = answer.json_bytes or len(answer.body)
    found = {}
    for output in json.loads(answer.body[:at])["outputs"]:
        size = _size(output)
        if output["datatype"] in NUMPY_TYPES:  # not BYTES, not BF16
            dtype = np.dtype(NUMPY_TYPES[output["datatype"]]).newbyteorder("<")
            if "data" in output:
                values = np.asarray(output["data"], dtype=dtype)
            elif size is None:
                whole = dtype.itemsize * math.prod(output["shape"])
                values = np.frombuffer(lying(output["name"], whole), dtype)
            else:
                values = np.frombuffer(answer.body, dtype, size // dtype.itemsize, at)
            found[output["name"]] = values
        at += size or 0
    return found


def _size(output: dict[str, Any]) -> int | None:
    """Return the bytes of an output behind the JSON; None where it does not lie there.

    KServe writes ``"parameters": null`` where there are none.
    """
    found: int | None = (output.get("parameters") or {}).get("binary_data_size")
    return found


def _placed(region: str, size: int) -> dict[str, Any]:
    """Return what a tensor in shared memory says of itself, its offset last and still open."""
    return {REGION: region, PLACED_BYTES: size, OFFSET: _DATA}


def _as_bytes(name: str) -> dict[str, Any]:
    """Return an output that is wanted as bytes."""
    return {"name": name, "parameters": {"binary_data": True}}


def _request(inputs: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> bytes:
    """Return the JSON of a request; where no output is named, it wants all as bytes."""
    everything = {"parameters": {"binary_data_output": True}}
    return _json({"id": _ID, "inputs": inputs} | ({"outputs": wanted} if wanted else everything))


def _head(sent: Sent) -> dict[str, Any]:
    datatype = DATATYPES[sent.dtype]
    return {"name": sent.name, "shape": list(sent.shape), "datatype": datatype}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
