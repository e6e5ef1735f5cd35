"""MobileNet V1 as built here, against the paper, plain NumPy and onnxruntime."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from fastbench.models import count_graph, mobilenet

Array = npt.NDArray[Any]

#: Of all weights in graph order: a change means that RECIPE in builtin.py must be raised.
WEIGHTS_SHA256 = "9f33eb372463c5611b06a78b08aeac915a7d766f86c5e1a1682c082f735a9818"


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """Build the NHWC graph once."""
    return mobilenet.build()


def weights_of(model: onnx.ModelProto) -> dict[str, Array]:
    """Return the initializers as arrays."""
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def run(model: onnx.ModelProto, image: Array) -> Array:
    """Execute in onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"input": image})[0])


def test_size_and_cost(graph: onnx.ModelProto) -> None:
    """4.2 million parameters, 0.57 billion multiply-adds: the paper's numbers, for 1001 classes."""
    # Convolutions: 3,185,088 weights, 10,944 biases (batch norm folded); classifier: 1,026,025.
    parameters, multiply_adds = count_graph(graph)

    assert (parameters, multiply_adds) == (4_222_057, 568_741_376)


def test_valid_and_marked(graph: onnx.ModelProto) -> None:
    """The file is valid ONNX and says that its predictions mean nothing."""
    onnx.checker.check_model(graph, full_check=True)

    assert [entry.value for entry in graph.metadata_props] == [
        "random weights: the cost is real, the predictions mean nothing"
    ]


def test_deterministic(graph: onnx.ModelProto) -> None:
    """Two builds have the same bytes, and the weights are those of every machine."""
    digest = hashlib.sha256(b"".join(t.raw_data for t in graph.graph.initializer))

    assert mobilenet.build().SerializeToString() == graph.SerializeToString()
    assert digest.hexdigest() == WEIGHTS_SHA256


def test_layouts_agree(graph: onnx.ModelProto) -> None:
    """The NCHW variant computes the same from the transposed image."""
    image = np.random.default_rng(1).random((1, 224, 224, 3), np.float32)
    other = mobilenet.build(layout="nchw")

    assert np.allclose(
        run(graph, image), run(other, image.transpose(0, 3, 1, 2)), rtol=1e-4, atol=1e-7
    )


def test_predictions_differ(graph: onnx.ModelProto) -> None:
    """Outputs are probabilities, neither uniform nor saturated, and depend on the image."""
    images = np.random.default_rng(2).random((3, 224, 224, 3), np.float32)
    images[2] = 0
    outputs = run(graph, images)

    assert outputs.shape == (3, 1001)
    assert np.allclose(1, outputs.sum(axis=1), atol=1e-5)
    assert 2 / 1001 < outputs.max() < 0.5
    assert abs(outputs[0] - outputs[1]).max() > 1e-4
    assert abs(outputs[0] - outputs[2]).max() > 1e-3


def convolve(x: Array, weights: Array, stride: int) -> Array:
    """Convolve an [H, W, C] image as TensorFlow's SAME padding says, by the definition."""
    out, groups_in, kernel, _ = weights.shape
    size = -(-x.shape[0] // stride)
    before, total = divmod(max((size - 1) * stride + kernel - x.shape[0], 0), 2)
    padded = np.pad(x, ((before, before + total), (before, before + total), (0, 0)))
    result = np.zeros((size, size, out), np.float64)
    for row in range(kernel):
        for column in range(kernel):
            window = padded[row : row + size * stride : stride, column::stride][:size, :size]
            tap = weights[:, :, row, column].astype(np.float64)
            result += window @ tap.T if groups_in == x.shape[2] else window * tap[:, 0]
    return result


def test_against_numpy(graph: onnx.ModelProto) -> None:
    """Onnxruntime's output is that of the architecture written down in NumPy."""
    image = np.random.default_rng(3).random((224, 224, 3), np.float32)
    weights = weights_of(graph)
    x = image.astype(np.float64)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    layers = [("Conv2d_0", 2)]
    for number, stride in enumerate(strides, start=1):
        layers += [(f"Conv2d_{number}_depthwise", stride), (f"Conv2d_{number}_pointwise", 1)]
    for name, stride in layers:
        x = convolve(x, weights[f"{name}/weights"], stride) + weights[f"{name}/bias"]
        x = np.clip(x, 0, 6)
    logits = weights["Logits/weights"][:, :, 0, 0] @ x.mean(axis=(0, 1)) + weights["Logits/bias"]
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()

    assert x.shape == (7, 7, 1024)
    assert np.allclose(expected, run(graph, image[np.newaxis])[0], rtol=1e-3, atol=1e-7)
