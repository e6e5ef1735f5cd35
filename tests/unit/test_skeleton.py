"""An ONNX file without its weights: what is kept, what is refused, what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbench.models import count_graph, inception, mnist
from fastbench.models.skeleton import SMALL_BYTES, read_skeleton

if TYPE_CHECKING:
    from pathlib import Path


def skeleton_of(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return what is left of a model."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return onnx.ModelProto.FromString(read_skeleton(path))


def test_only_large_numbers_go(tmp_path: Path) -> None:
    """All but the numbers of large tensors is kept, also those in attributes and subgraphs."""
    helper, large = onnx.helper, np.arange(SMALL_BYTES, dtype=np.float32)
    constant = onnx.numpy_helper.from_array
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=constant(large, "inner"))],
        "branch",
        [],
        [helper.make_tensor_value_info("y", 1, [SMALL_BYTES])],
    )
    listed = helper.make_tensor("listed", 1, [SMALL_BYTES], large.tolist())  # float_data, not raw
    model = inception.build(0.05)
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=inner)
    )
    model.graph.initializer.append(listed)

    left = skeleton_of(model, tmp_path)

    for graph in (model.graph, *(a.g for a in model.graph.node[-1].attribute)):
        tensors = [
            *graph.initializer,
            *(n.attribute[0].t for n in graph.node if n.op_type == "Constant"),
        ]
        for tensor in tensors:
            if len(tensor.raw_data) > SMALL_BYTES:
                tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    assert left == model


def test_counts_are_the_same(tmp_path: Path) -> None:
    """Parameters and multiply-adds need no numbers."""
    model = mnist.build()

    assert count_graph(skeleton_of(model, tmp_path)) == count_graph(model)


def test_large_file_is_not_read(tmp_path: Path) -> None:
    """A tensor of 4 GB on a file with a hole takes no memory and no time."""
    path = tmp_path / "huge.onnx"
    size = 1 << 32
    raw = b"\x4a"  # the tag of raw_data: field 9, length and bytes

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    tensor = onnx.TensorProto(name="w", dims=[1 << 30], data_type=1).SerializeToString()
    tensor += raw + varint(size)
    tensor_head = b"\x2a" + varint(len(tensor) + size) + tensor
    with path.open("wb") as file:
        file.write(b"\x3a" + varint(len(tensor_head) + size) + tensor_head)
        file.truncate(file.tell() + size)

    left = onnx.ModelProto.FromString(read_skeleton(path))

    assert list(left.graph.initializer[0].dims) == [1 << 30]
    assert left.graph.initializer[0].raw_data == b""


@settings(max_examples=200, deadline=None)
@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes that are no protocol buffer are refused, never taken half."""
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    try:
        left = read_skeleton(path)
    except ValueError:
        return
    assert len(left) <= len(data) + 10  # lengths may have been written longer than needed


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated(tmp_path: Path, keep: float) -> None:
    """A file that is cut anywhere is refused."""
    data = mnist.build().SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * keep)])

    with pytest.raises(ValueError, match=r"not whole|does not end"):
        read_skeleton(path)
