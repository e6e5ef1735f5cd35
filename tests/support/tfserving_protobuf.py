"""The messages of TensorFlow Serving in protobuf's own library: the oracle for ours.

Names and numbers are those of the descriptors in the package tensorflow-serving-api 2.21.0
(model, predict, get_model_status, get_model_metadata, status) and of TensorFlow's tensor.proto,
tensor_shape.proto, types.proto and meta_graph.proto; Any and Int64Value are protobuf's.
"""

from __future__ import annotations

from typing import Any

from support.protobuf_classes import classes

DT_FLOAT, DT_STRING = 1, 7
AVAILABLE, LOADING = 30, 20

_MESSAGES = {
    "Int64Value": ("1 value int64",),
    "Any": ("1 type_url string", "2 value bytes"),
    "ModelSpec": (
        "1 name string",
        "2 version Int64Value",
        "3 signature_name string",
        "4 version_label string",
    ),
    "Dim": ("1 size int64", "2 name string"),
    "TensorShapeProto": ("2 dim *Dim", "3 unknown_rank bool"),
    "TensorProto": (
        "1 dtype int32",
        "2 tensor_shape TensorShapeProto",
        "3 version_number int32",
        "4 tensor_content bytes",
        "5 float_val *float",
        "6 double_val *double",
        "7 int_val *int32",
        "8 string_val *bytes",
        "10 int64_val *int64",
        "11 bool_val *bool",
        "13 half_val *int32",
        "16 uint32_val *uint32",
        "17 uint64_val *uint64",
    ),
    "PredictRequest": (
        "1 model_spec ModelSpec",
        "2 inputs %TensorProto",
        "3 output_filter *string",
    ),
    "PredictResponse": ("1 outputs %TensorProto", "2 model_spec ModelSpec"),
    "GetModelStatusRequest": ("1 model_spec ModelSpec",),
    "StatusProto": ("1 error_code int32", "2 error_message string"),
    "ModelVersionStatus": ("1 version int64", "2 state int32", "3 status StatusProto"),
    "GetModelStatusResponse": ("1 model_version_status *ModelVersionStatus",),
    "GetModelMetadataRequest": ("1 model_spec ModelSpec", "2 metadata_field *string"),
    "GetModelMetadataResponse": ("1 model_spec ModelSpec", "2 metadata %Any"),
    "TensorInfo": ("1 name string", "2 dtype int32", "3 tensor_shape TensorShapeProto"),
    "SignatureDef": ("1 inputs %TensorInfo", "2 outputs %TensorInfo", "3 method_name string"),
    "SignatureDefMap": ("1 signature_def %SignatureDef",),
}
_CLASSES = classes("fastbench_tests_tfserving", _MESSAGES)


def tf(kind: str, /, **fields: Any) -> Any:
    """Return a message of a kind."""
    return _CLASSES[kind](**fields)


def parsed(kind: str, data: bytes) -> Any:
    """Return the message of a kind in bytes. Raises where they are none."""
    return _CLASSES[kind].FromString(data)


def shape_of(sizes: tuple[int, ...]) -> Any:
    """Return a shape; -1 is any size."""
    return tf("TensorShapeProto", dim=[{"size": size} for size in sizes])


def metadata_of(**signatures: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    """Return the reply that tells signatures: inputs and outputs of each, TensorInfo by name."""
    defs = {
        name: tf("SignatureDef", inputs=takes, outputs=gives, method_name="predict")
        for name, (takes, gives) in signatures.items()
    }
    told = tf("SignatureDefMap", signature_def=defs).SerializeToString()
    url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    return tf(
        "GetModelMetadataResponse",
        model_spec={"name": "m"},
        metadata={"signature_def": tf("Any", type_url=url, value=told)},
    )
