"""The Open Inference Protocol v2 over gRPC: its requests, and what its replies say.

Source: grpc_predict_v2.proto of KServe's Open Inference Protocol; Triton's grpc_service.proto for
the statistics and shared memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbench.errors import UsageError
from fastbench.models.base import TensorSpec
from fastbench.servers.message_parts import Parts
from fastbench.servers.oip_messages import DATATYPES, NUMPY_TYPES
from fastbench.servers.outputs import nowhere, output_in
from fastbench.servers.protobuf import (
    by_field,
    chunk,
    chunk_head,
    content,
    fields,
    integer,
    integer_head,
    integers,
    number_in,
    packed,
    text_in,
    texts_in,
)
from fastbench.servers.shared_memory import BYTES, OFFSET, REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastbench.plan import Field
    from fastbench.servers.http_messages import Body, Sent, Wanted
    from fastbench.servers.shared_memory import Region

SERVICE = "/inference.GRPCInferenceService/"
INFER = f"{SERVICE}ModelInfer"
_OUTPUT_CONTENTS = 5  # of InferOutputTensor
_RAW_INPUT, _RAW_OUTPUT = 7, 6  # of ModelInferRequest, of ModelInferResponse
_PARAMETERS, _OUTPUT_PARAMETERS = 4, 2  # of InferInputTensor, of InferRequestedOutputTensor
_INT64, _STRING = 2, 3  # of InferParameter
#: Field of InferTensorContents -> NumPy's type of its values; integers are varints.
_CONTENTS = {1: "bool", 2: "int32", 3: "int64", 4: "uint32", 5: "uint64", 6: "<f4", 7: "<f8"}
_FLOATS = (6, 7)
_FIXED_WIDTH = {"float32": 6, "float64": 7}  # packed, they are little-endian bytes
_DURATIONS = {
    1: "success",
    2: "fail",
    3: "queue",
    4: "compute_input",
    5: "compute_infer",
    6: "compute_output",
    7: "cache_hit",
    8: "cache_miss",
}


@dataclass(frozen=True, slots=True)
class ServerAbout:
    """What ServerMetadata says."""

    name: str = ""
    version: str = ""
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelAbout:
    """What ModelMetadata says."""

    name: str = ""
    versions: tuple[str, ...] = ()
    platform: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def model_request(model: str, version: str) -> bytes:
    """Return ModelReadyRequest, ModelMetadataRequest or ModelStatisticsRequest: all are alike."""
    return chunk(1, model) + (chunk(2, version) if version else b"")


def infer_body(model: str, version: str, sent: Sequence[Sent], outputs: Sequence[str]) -> Body:
    """Return a ModelInferRequest with each input's bytes in raw_input_contents.

    ``outputs``: those that are wanted; empty = all that there are.
    """
    body = Parts(model_request(model, version))
    for each in sent:
        body.text(chunk(5, _described(each)))
    body.text(_wanted(outputs))
    for each in sent:
        body.bytes_of(each, chunk_head(_RAW_INPUT, each.length))
    return body.body()


def typed_body(model: str, version: str, sent: Sequence[Sent], outputs: Sequence[str]) -> Body:
    """Return the same with the numbers of each input in its contents, by their type.

    Packed numbers of fixed width are their bytes as they lie in the dataset.
    Raises :class:`UsageError` for a type whose numbers have another form.
    """
    body = Parts(model_request(model, version))
    for each in sent:
        if each.dtype not in _FIXED_WIDTH:
            msg = f"--body typed: {each.dtype} numbers are not sent as they lie: use --body raw"
            raise UsageError(msg)
        values = chunk_head(_FIXED_WIDTH[each.dtype], each.length)
        contents = _described(each) + chunk_head(5, len(values) + each.length) + values
        body.bytes_of(each, chunk_head(5, len(contents) + each.length) + contents)
    return body.text(_wanted(outputs)).body()


def placed_body(
    model: str, version: str, sent: Sent, place: Field, region: str, outputs: Sequence[Wanted]
) -> Body:
    """Return a ModelInferRequest that names where in a region of shared memory the input lies.

    ``place``: its offset in bytes. Outputs with an offset of their own are put there.
    """
    body = Parts(model_request(model, version))
    tensor = _described(sent) + _placed(_PARAMETERS, region, sent.length, place.width)
    body.text(chunk_head(5, len(tensor) + place.width) + tensor).field(place)
    for each in outputs:
        wanted = chunk(1, each.name)
        if each.offset is None:
            body.text(chunk(6, wanted))
            continue
        wanted += _placed(_OUTPUT_PARAMETERS, region, each.size, each.offset.width)
        body.text(chunk_head(6, len(wanted) + each.offset.width) + wanted).field(each.offset)
    return body.body()


def _placed(parameters: int, region: str, size: int, width: int) -> bytes:
    """Return what a tensor in shared memory says of itself, up to its offset.

    ``parameters``: the number of that field. ``width``: bytes of the offset.
    """
    offset = chunk(1, OFFSET) + chunk_head(2, 1 + width) + integer_head(_INT64)
    told = {REGION: chunk(_STRING, region), BYTES: integer(_INT64, size)}
    entries = (chunk(1, name) + chunk(2, value) for name, value in told.items())
    closed = b"".join(chunk(parameters, entry) for entry in entries)
    return closed + chunk_head(parameters, len(offset) + width) + offset


def region_request(region: Region) -> bytes:
    """Return a SystemSharedMemoryRegisterRequest of a whole region."""
    return chunk(1, region.name) + chunk(2, region.key) + integer(4, region.size)


def is_ready(reply: bytes) -> bool:
    """Tell what ServerReady or ModelReady said."""
    return any(field == 1 and value == 1 for field, value in fields(reply))


def server_about(reply: bytes) -> ServerAbout:
    """Read a ServerMetadataResponse."""
    found = by_field(reply)
    return ServerAbout(text_in(found, 1), text_in(found, 2), tuple(texts_in(found, 3)))


def model_about(reply: bytes) -> ModelAbout:
    """Read a ModelMetadataResponse."""
    found = by_field(reply)
    return ModelAbout(
        name=text_in(found, 1),
        versions=tuple(texts_in(found, 2)),
        platform=text_in(found, 3),
        inputs=tuple(_spec(value) for value in found.get(4, [])),
        outputs=tuple(_spec(value) for value in found.get(5, [])),
    )


def counters(reply: bytes) -> dict[tuple[str, str], dict[str, int]]:
    """Read a ModelStatisticsResponse: what is counted, by name and version of the model."""
    found = [content(version) for version in by_field(reply).get(1, [])]
    return {
        (text_in(by_field(each), 1), text_in(by_field(each), 2)): dict(_statistics(each))
        for each in found
    }


def output_of(
    message: bytes, name: str, lying: Callable[[str, int], bytes] = nowhere
) -> NDArray[np.float32]:
    """Return the output ``name`` of a ModelInferResponse, or else the first one of numbers.

    Empty where there is none. ``lying``: reads so many bytes of an output that the reply tells of
    and does not carry.
    """
    return output_in(message, partial(_outputs, lying=lying), name)


def carried(message: bytes) -> set[str]:
    """Return the outputs whose contents are in a ModelInferResponse.

    Raises :class:`ProtocolError` where it is none.
    """
    found = by_field(message)
    raw = found.get(_RAW_OUTPUT, [])
    about = [by_field(content(output)) for output in found.get(5, [])]
    full = [i < len(raw) and raw[i] != b"" for i in range(len(about))]
    return {
        text_in(each, 1)
        for each, has_raw in zip(about, full, strict=True)
        if has_raw or any(each.get(_OUTPUT_CONTENTS, ()))
    }


def _described(sent: Sent) -> bytes:
    """Return the InferInputTensor without contents."""
    return chunk(1, sent.name) + chunk(2, DATATYPES[sent.dtype]) + packed(3, sent.shape)


def _wanted(outputs: Sequence[str]) -> bytes:
    return b"".join(chunk(6, chunk(1, name)) for name in outputs)


def _outputs(message: bytes, lying: Callable[[str, int], bytes]) -> dict[str, NDArray[Any]]:
    """Return the outputs that are numbers; raw contents are in the order of all outputs.

    Of one that lies in shared memory they are empty. MLServer adds typed contents that are empty.
    """
    found = by_field(message)
    raw = found.get(_RAW_OUTPUT, [])
    outputs = {}
    for i, output in enumerate(found.get(5, [])):
        about = by_field(content(output))
        if text_in(about, 2) not in NUMPY_TYPES:  # BYTES and BF16
            continue
        dtype = np.dtype(NUMPY_TYPES[text_in(about, 2)]).newbyteorder("<")
        name, raw_bytes = text_in(about, 1), content(raw[i]) if i < len(raw) else b""
        if any(about.get(_OUTPUT_CONTENTS, ())):
            outputs[name] = _contents(about[_OUTPUT_CONTENTS]).astype(dtype)
        else:
            shape = [size for value in about.get(3, []) for size in integers(value)]
            whole = dtype.itemsize * math.prod(shape)
            outputs[name] = np.frombuffer(raw_bytes or lying(name, whole), dtype)
    return outputs


def _contents(messages: Sequence[int | bytes]) -> NDArray[Any]:
    """Return the values of an InferTensorContents."""
    values: list[NDArray[Any]] = [np.empty(0, np.float32)]
    for message in messages:
        for field, value in fields(content(message)):
            dtype = _CONTENTS[field]
            if field in _FLOATS:
                values.append(np.frombuffer(content(value), dtype))
            else:
                values.append(np.asarray(list(integers(value))).astype(dtype))
    return np.concatenate(values)


def _spec(message: int | bytes) -> TensorSpec:
    """Read a TensorMetadata; the name of a type that is not known stays."""
    found = by_field(content(message))
    shape = [size for value in found.get(3, []) for size in integers(value)]
    datatype = text_in(found, 2)
    return TensorSpec(
        text_in(found, 1),
        NUMPY_TYPES.get(datatype, datatype),
        tuple(None if size < 0 else size for size in shape),
    )


def _statistics(message: bytes) -> Iterator[tuple[str, int]]:
    found = by_field(message)
    yield "inference_count", number_in(found, 4)
    yield "execution_count", number_in(found, 5)
    for stats in found.get(6, []):
        for field, value in fields(content(stats)):
            if field in _DURATIONS:
                duration = by_field(content(value))
                yield f"{_DURATIONS[field]}_count", number_in(duration, 1)
                yield f"{_DURATIONS[field]}_ns", number_in(duration, 2)
