"""Names, files and descriptions of models, and the oracle."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from fastbench.errors import ModelError
from fastbench.models import (
    Oracle,
    TensorSpec,
    build_file,
    builtin_names,
    count_graph,
    describe,
    load_model,
)


def test_builtin_mobilenet() -> None:
    """The default model is described from its file, in the cache."""
    model = load_model("mobilenet_v1_100_224")

    assert Path(os.environ["XDG_CACHE_HOME"]) / "fastbench/models" == model.path.parent
    assert (TensorSpec("input", "float32", (None, 224, 224, 3)),) == model.inputs
    assert model.outputs[0].name == "MobilenetV1/Predictions/Reshape_1"
    assert model.outputs[0].shape == (None, 1001)
    assert model.random_weights
    assert (model.backend, model.parameters) == ("ONNX", 4_222_057)


def test_every_builtin_is_valid() -> None:
    """Every built-in model is valid ONNX with a dynamic batch dimension; BERT: a small one."""
    for name in builtin_names():
        model = load_model("bert_base_cased@0.05" if name == "bert_base_cased" else name)
        onnx.checker.check_model(str(model.path), full_check=True)

        assert all(spec.shape and spec.shape[0] is None for spec in model.inputs)


def test_build_is_atomic_and_repeatable(tmp_path: Path) -> None:
    """A file is written whole, with the same bytes each time, and nothing else is left."""
    for name in ("one", "two", "two"):
        build_file("identity", tmp_path / name)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_scaled(tmp_path: Path) -> None:
    """A scale makes a model narrower; what cannot be scaled, or not so, is no model."""
    whole, half = load_model("mnist_cnn"), load_model("mnist_cnn@0.5")

    assert (whole.parameters, half.parameters) == (5994, 200 // 2 + 4 + 25 * 4 * 8 + 8 + 1290)
    assert half.name == "mnist_cnn@0.5"
    for name in ("identity@0.5", "mnist_cnn@2", "mnist_cnn@0.0", "mnist_cnn@", "mnist_cnn@0.1234"):
        with pytest.raises(ModelError, match="no built-in model"):
            build_file(name, tmp_path / "x")


def test_build_errors(tmp_path: Path) -> None:
    """An unknown name and a folder that is a file are refused, naming them."""
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="no built-in model 'nope'"):
        build_file("nope", tmp_path / "x")
    with pytest.raises(ModelError, match=r"cannot be written to .*file/x"):
        build_file("identity", tmp_path / "file" / "x")


def test_load_onnx_file(tmp_path: Path) -> None:
    """An ONNX file tells its tensors itself; wrong names for them are refused."""
    path = tmp_path / "own.onnx"
    build_file("mean_rgb_224", path)
    model = load_model(str(path), inputs=("input",))

    assert (model.name, model.backend, model.random_weights) == ("own", "ONNX", False)
    with pytest.raises(ModelError, match="--output nope: the file says output"):
        load_model(str(path), outputs=("nope",))


def test_load_foreign_files(tmp_path: Path) -> None:
    """TF, TFLite and TorchScript files are passed through; TF needs names."""
    frozen, lite, script = (tmp_path / name for name in ("a.pb", "b.tflite", "c.pt"))
    frozen.write_bytes(b"\x0a\x05graph")
    lite.write_bytes(b"\x1c\0\0\0TFL3rest")
    script.write_bytes(b"PK\x03\x04rest")
    model = load_model(str(frozen), inputs=("input",), outputs=("output",))

    assert ("TF", (TensorSpec("input"),)) == (model.backend, model.inputs)
    assert load_model(str(lite)).backend == "TFLITE"
    assert load_model(str(script)).backend == "TORCH"
    assert model.parameters is None
    with pytest.raises(ModelError, match="--input and --output"):
        load_model(str(frozen))
    with pytest.raises(ModelError, match="is not a TORCH file"):
        load_model(str(lite), backend="TORCH")


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("none.onnx", None, "neither a file nor one of the built-in"),
        ("x.bin", b"x", "give --backend"),
        ("empty.onnx", b"", "is empty"),
        ("garbage.onnx", b"garbage", "is not an ONNX file"),
        ("nothing.onnx", b"\x08\x0a", "it holds no graph"),
    ],
)
def test_load_errors(tmp_path: Path, name: str, data: bytes | None, error: str) -> None:
    """A model that cannot be had is refused with its name and the reason."""
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(ModelError, match=error) as raised:
        load_model(str(path))
    assert str(path) in str(raised.value)


def test_truncated_onnx_file(tmp_path: Path) -> None:
    """A truncated ONNX file is refused."""
    whole, part = tmp_path / "whole.onnx", tmp_path / "part.onnx"
    build_file("mobilenet_v1_100_224", whole)
    part.write_bytes(whole.read_bytes()[:-1000])

    with pytest.raises(ModelError, match="truncated"):
        load_model(str(part))


def test_count_gemm_and_matmul() -> None:
    """Multiply-adds of fully connected layers, transposed or not, with a dynamic batch."""
    helper = onnx.helper
    weights = [
        onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        for name, shape in (("a", (30, 16)), ("b", (16, 8)), ("c", (8,)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["y"]),
        helper.make_node("Gemm", ["y", "b", "c"], ["z"]),
    ]
    takes = helper.make_tensor_value_info("x", 1, ["N", 30])
    gives = helper.make_tensor_value_info("z", 1, ["N", 8])
    model = helper.make_model(helper.make_graph(nodes, "dense", [takes], [gives], weights))

    assert count_graph(model) == (30 * 16 + 16 * 8 + 8, 30 * 16 + 16 * 8)


def test_oracle() -> None:
    """The oracle computes; it refuses what does not fit, in one line."""
    oracle = Oracle(load_model("mean_rgb_224"))
    images = np.random.default_rng(1).random((2, 224, 224, 3), np.float32)
    (means,) = oracle.run([images])

    assert np.allclose(images.mean(axis=(1, 2)), means, atol=1e-5)
    with pytest.raises(ModelError, match="takes 1 inputs, not 2"):
        oracle.run([images, images])
    with pytest.raises(ModelError, match="cannot run the model on these inputs") as raised:
        oracle.run([images.transpose(0, 3, 1, 2)])
    assert "\n" not in str(raised.value)


def test_oracle_refuses_other_backends(tmp_path: Path) -> None:
    """Only ONNX models can be checked in this process."""
    path = tmp_path / "b.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3rest")

    with pytest.raises(ModelError, match="only ONNX models can be checked, this is TFLITE"):
        Oracle(load_model(str(path)))


def test_describe() -> None:
    """The description names what matters, the random weights included."""
    text = "\n".join(describe(load_model("mobilenet_v1_100_224")))

    assert "input  float32  [N, 224, 224, 3]" in text
    assert "4,222,057" in text
    assert "568,741,376 per sample" in text
    assert "the predictions mean nothing" in text
