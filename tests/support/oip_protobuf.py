"""The messages of the Open Inference Protocol in protobuf's own library: the oracle for ours.

Names and numbers are those of grpc_predict_v2.proto and, for what only Triton has, of its
grpc_service.proto. A map is a repeated message of key and value, which is the same on the wire.
"""

from __future__ import annotations

from typing import Any

from support.protobuf_classes import classes

_MESSAGES = {
    "ModelRequest": ("1 name string", "2 version string"),
    "Ready": ("1 ready bool",),
    "ServerMetadataResponse": ("1 name string", "2 version string", "3 extensions *string"),
    "TensorMetadata": ("1 name string", "2 datatype string", "3 shape *int64"),
    "ModelMetadataResponse": (
        "1 name string",
        "2 versions *string",
        "3 platform string",
        "4 inputs *TensorMetadata",
        "5 outputs *TensorMetadata",
    ),
    "Contents": (
        "1 bool_contents *bool",
        "2 int_contents *int32",
        "3 int64_contents *int64",
        "4 uint_contents *uint32",
        "5 uint64_contents *uint64",
        "6 fp32_contents *float",
        "7 fp64_contents *double",
        "8 bytes_contents *bytes",
    ),
    "Tensor": (
        "1 name string",
        "2 datatype string",
        "3 shape *int64",
        "4 parameters *Entry",
        "5 contents Contents",
    ),
    "Entry": ("1 key string", "2 value Parameter"),
    "Parameter": ("1 bool_param bool", "2 int64_param int64", "3 string_param string"),
    "RegisterRequest": ("1 name string", "2 key string", "3 offset uint64", "4 byte_size uint64"),
    "UnregisterRequest": ("1 name string",),
    "Wanted": ("1 name string", "2 parameters *Entry"),
    "ModelInferRequest": (
        "1 model_name string",
        "2 model_version string",
        "3 id string",
        "5 inputs *Tensor",
        "6 outputs *Wanted",
        "7 raw_input_contents *bytes",
    ),
    "ModelInferResponse": (
        "1 model_name string",
        "2 model_version string",
        "3 id string",
        "5 outputs *Tensor",
        "6 raw_output_contents *bytes",
    ),
    "DynamicBatching": ("1 preferred_batch_size *int32", "2 max_queue_delay_microseconds uint64"),
    "InstanceGroup": ("1 name string", "2 count int32", "3 gpus *int32", "4 kind int32"),
    "ModelConfig": (
        "1 name string",
        "4 max_batch_size int32",
        "7 instance_group *InstanceGroup",
        "11 dynamic_batching DynamicBatching",
    ),
    "ModelConfigResponse": ("1 config ModelConfig",),
    "LoadRequest": ("1 repository_name string", "2 model_name string"),
    "ModelIndex": ("1 name string", "2 version string", "3 state string", "4 reason string"),
    "IndexResponse": ("1 models *ModelIndex",),
    "Duration": ("1 count uint64", "2 ns uint64"),
    "InferStatistics": (
        "1 success Duration",
        "2 fail Duration",
        "3 queue Duration",
        "4 compute_input Duration",
        "5 compute_infer Duration",
        "6 compute_output Duration",
        "7 cache_hit Duration",
        "8 cache_miss Duration",
    ),
    "ModelStatistics": (
        "1 name string",
        "2 version string",
        "3 last_inference uint64",
        "4 inference_count uint64",
        "5 execution_count uint64",
        "6 inference_stats InferStatistics",
    ),
    "ModelStatisticsResponse": ("1 model_stats *ModelStatistics",),
}

CLASSES = classes("fastbench_tests_oip", _MESSAGES)


def oip(kind: str, /, **fields: Any) -> Any:
    """Return a message of a kind."""
    return CLASSES[kind](**fields)


def parsed(kind: str, data: bytes) -> Any:
    """Return the message of a kind in bytes. Raises where they are none."""
    return CLASSES[kind].FromString(data)
