"""The module ``tensorflow.core.protobuf.error_codes_pb2``, whose parts tensorflow-protobuf lacks.

Names and numbers are those of google.rpc.Code, as in TensorFlow's own file.
"""

from __future__ import annotations

import sys
import types

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import builder

NAME = "tensorflow.core.protobuf.error_codes_pb2"
CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS "
    "PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED "
    "INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED"
)


def _described() -> bytes:
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow/core/protobuf/error_codes.proto", package="tensorflow.error"
    )
    file.syntax = "proto3"
    enum = file.enum_type.add(name="Code")
    for number, code in enumerate(CODES.split()):
        enum.value.add(name=code, number=number)
    content: bytes = file.SerializeToString()
    return content


_module = types.ModuleType(NAME)
_names = vars(_module)
_names["DESCRIPTOR"] = descriptor_pool.Default().AddSerializedFile(_described())
# Where the stubs expect the file that the real one hands on.
_names["xla_dot_tsl_dot_protobuf_dot_error__codes__pb2"] = _module
builder.BuildMessageAndEnumDescriptors(_names["DESCRIPTOR"], _names)
builder.BuildTopDescriptorsAndMessages(_names["DESCRIPTOR"], NAME, _names)
sys.modules[NAME] = _module
