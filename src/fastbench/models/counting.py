"""How big a graph is: its parameters and the multiply-adds that one sample costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    Shapes = Mapping[str, tuple[int, ...]]

ONNX_FLOAT = 1  # onnx.TensorProto.FLOAT, without importing onnx
ONNX_FLOATS = (ONNX_FLOAT, 10, 11, 16)  # and FLOAT16, DOUBLE, BFLOAT16


def count_graph(model: onnx.ModelProto) -> tuple[int, int]:
    """Return (parameters, multiply-adds per sample).

    Parameters are the floating-point numbers in the initializers: weights and biases. Scalars,
    such as the limits of a ReLU6, are constants and not counted.
    Multiply-adds are those of Conv, Gemm and MatMul, from the shapes that onnx infers for a
    batch of 1; adding a bias, pooling and activations are not counted, as is usual.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if not dimension.dim_value:
                dimension.dim_value = 1
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(fixed).graph
    shapes = _shapes(graph)
    return _parameters(graph), sum(_multiply_adds(node, shapes) for node in graph.node)


def _parameters(graph: onnx.GraphProto) -> int:
    floats = (t for t in graph.initializer if t.data_type in ONNX_FLOATS and t.dims)
    return sum(math.prod(t.dims) for t in floats)


def _shapes(graph: onnx.GraphProto) -> Shapes:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(d.dim_value for d in dimensions)
    return shapes


def _multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Elements of the output times the length of the dot product behind each of them."""
    elements = math.prod(shapes.get(node.output[0], ()))
    if node.op_type == "Conv":  # weights: [channels out, channels in / groups, kernel ...]
        return elements * math.prod(shapes.get(node.input[1], ())[1:])
    if node.op_type == "MatMul":
        return elements * (shapes.get(node.input[0]) or (0,))[-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return elements * (shapes.get(node.input[0]) or (0, 0))[0 if transposed else 1]
    return 0
