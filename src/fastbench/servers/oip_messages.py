"""The Open Inference Protocol v2 over HTTP: bodies of requests, and the tensor in a reply.

Sources: KServe's Open Inference Protocol (REST), and Triton's binary tensor data extension: the
JSON comes first, the field Inference-Header-Content-Length says how long it is, and then the
tensors follow one after another, little-endian.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.plan import Text
from fastbench.servers.http_messages import BYTES, Body, JsonForm
from fastbench.servers.http_replies import JSON_LENGTH, NOTHING
from fastbench.servers.shared_memory import BYTES as PLACED_BYTES
from fastbench.servers.shared_memory import OFFSET, REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastbench.plan import Field
    from fastbench.servers.http_messages import Sent
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


def binary_body(sent: Sequence[Sent], outputs: Sequence[str]) -> Body:
    """Return JSON and then the bytes of each input; outputs are wanted as bytes too.

    ``outputs``: their names; empty = all that there are.
    """
    inputs = [_head(s) | {"parameters": {"binary_data_size": s.length}} for s in sent]
    head = _request(inputs, outputs)
    return Body(
        BYTES,
        (Text(head), *(s.part for s in sent)),
        len(head) + sum(s.length for s in sent),
        {JSON_LENGTH: str(len(head))},
    )


def placed_body(sent: Sent, place: Field, region: str, outputs: Sequence[str]) -> Body:
    """Return JSON that names where in a region of shared memory the one input lies.

    ``place``: its offset in bytes; blanks before a number mean nothing in JSON. Outputs come back
    as in :func:`binary_body`.
    """
    where = {REGION: region, PLACED_BYTES: sent.length, OFFSET: _DATA}
    head = _request([_head(sent) | {"parameters": where}], outputs)
    before, after = (Text(text) for text in head.split(f'"{_DATA}"'.encode()))
    length = len(before.data) + place.width + len(after.data)
    return Body(BYTES, (before, place, after), length, {JSON_LENGTH: str(length)})


def json_form(sent: Sent, outputs: Sequence[str]) -> JsonForm:
    """Return what stands around the numbers of one input."""
    wanted = {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    text = _json({"id": _ID, "inputs": [_head(sent) | {"data": _DATA}]} | wanted).decode()
    before, after = text.split(f'"data":"{_DATA}"')
    return JsonForm(f'{before}"data":', after, flat=True)


def tensor_of(answer: Answer, name: str = "") -> NDArray[np.float32]:
    """Return the output ``name``, or else the first of numbers, as float32; empty without one."""
    try:
        outputs = _outputs(answer)
        found = outputs.get(name, next(iter(outputs.values())))
        return found.astype(np.float32).ravel()
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return NOTHING


def _outputs(answer: Answer) -> dict[str, NDArray[Any]]:
    """Return the outputs that are numbers. Raises where the reply is not the protocol's."""
    at = answer.json_bytes or len(answer.body)
    found = {}
    for output in json.loads(answer.body[:at])["outputs"]:
        size = 0 if "data" in output else output["parameters"]["binary_data_size"]
        if output["datatype"] in NUMPY_TYPES:  # not BYTES, not BF16
            found[output["name"]] = _numbers(output, answer.body, at, size)
        at += size
    return found


def _numbers(output: dict[str, Any], body: bytes, at: int, size: int) -> NDArray[Any]:
    dtype = np.dtype(NUMPY_TYPES[output["datatype"]]).newbyteorder("<")
    if "data" in output:
        return np.asarray(output["data"], dtype=dtype)
    return np.frombuffer(body, dtype, size // dtype.itemsize, at)


def _request(inputs: Sequence[dict[str, Any]], outputs: Sequence[str]) -> bytes:
    """Return the JSON of a request that wants outputs as bytes."""
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    everything = {"parameters": {"binary_data_output": True}}
    return _json({"id": _ID, "inputs": inputs} | ({"outputs": wanted} if wanted else everything))


def _head(sent: Sent) -> dict[str, Any]:
    datatype = DATATYPES[sent.dtype]
    return {"name": sent.name, "shape": list(sent.shape), "datatype": datatype}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
