"""The networks of the ONNX suite, against published sizes and independent arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from fastbench.models import bert, count_graph, inception, mnist

Array = npt.NDArray[Any]
SMALL = 0.05


def run(model: onnx.ModelProto, *inputs: Array) -> list[Array]:
    """Execute in onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    return [np.asarray(o) for o in session.run(None, dict(zip(names, inputs, strict=True)))]


def weights_of(model: onnx.ModelProto) -> dict[str, Array]:
    """Return the initializers as arrays."""
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def test_mnist_size() -> None:
    """The parameters and the file are those of mnist-8 in the model zoo: 5,994, about 26 KB."""
    model = mnist.build()

    # Convolutions 28 x 28 x 8 x 25 and 14 x 14 x 16 x 200, classifier 256 x 10.
    assert count_graph(model) == (5994, 156_800 + 627_200 + 2560)
    assert 24_000 < model.ByteSize() < 28_000


def test_inception_size() -> None:
    """Every weight of the published BN-Inception is there: 11,295,240, and 2.0 G multiply-adds."""
    model = inception.build()
    parameters, multiply_adds = count_graph(model)
    statistics = sum(
        math.prod(t.dims) for t in model.graph.initializer if t.name.endswith(("mean", "variance"))
    )

    assert parameters - statistics == 11_295_240
    assert 1.9e9 < multiply_adds < 2.1e9
    assert 45e6 < model.ByteSize() < 46e6


def test_inception_joins() -> None:
    """Modules give as many channels, of as many pixels, as the paper's table says."""
    graph = onnx.shape_inference.infer_shapes(inception.build()).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    found = [shapes[f"inception_{m.name}/output"][1:3] for m in inception.MODULES]

    assert found == [
        *([256, 28], [320, 28], [576, 14], [576, 14], [576, 14], [608, 14], [608, 14]),
        *([1056, 7], [1024, 7], [1024, 7]),
    ]


def test_bert_size() -> None:
    """The weights at full size are those of BERT-base-cased: 108,310,272 parameters."""
    hidden, words, wide = 768, bert.VOCABULARY, 3072
    layer = 4 * (hidden**2 + hidden) + 2 * hidden * wide + wide + hidden + 4 * hidden
    whole = (words + 512 + 2) * hidden + 2 * hidden + 12 * layer + hidden**2 + hidden
    small = bert.build(SMALL)
    hidden, words = 12 * 3, 1450
    wide = 4 * hidden
    layer = 4 * (hidden**2 + hidden) + 2 * hidden * wide + wide + hidden + 4 * hidden
    expected = (words + 512 + 2) * hidden + 2 * hidden + 12 * layer + hidden**2 + hidden

    assert whole == 108_310_272
    assert count_graph(small)[0] == expected


def test_bert_layer_against_numpy() -> None:
    """The first output is that of the encoder written down again in NumPy."""
    model = bert.build(SMALL)
    w, random = weights_of(model), np.random.default_rng(1)
    ids = random.integers(0, 1450, (2, bert.TOKENS))
    mask = (np.arange(bert.TOKENS) < np.array([[128], [40]])).astype(np.int64)
    types = random.integers(0, 2, ids.shape)
    hidden, pooled = run(model, ids, mask, types)

    x = encode(w, ids, mask, types)
    expected = np.tanh(x[:, 0] @ w["pooler.dense.weight"] + w["pooler.dense.bias"])

    assert np.allclose(hidden, x, atol=2e-4)
    assert np.allclose(pooled, expected, atol=2e-4)


def encode(w: dict[str, Array], ids: Array, mask: Array, types: Array) -> Array:
    """BERT's encoder in float64."""

    def dense(name: str, x: Array) -> Array:
        return np.asarray(x @ w[f"{name}.weight"].astype(float) + w[f"{name}.bias"])

    def norm(name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"])

    erf = np.vectorize(math.erf)
    names = ("word", "token_type", "position")
    words, kinds, positions = (w[f"embeddings.{n}_embeddings.weight"].astype(float) for n in names)
    x = norm("embeddings.LayerNorm", words[ids] + kinds[types] + positions[: bert.TOKENS])
    added = np.where(mask, 0.0, -10_000.0)[:, None, None, :]
    for number in range(12):
        name = f"encoder.layer.{number}"
        q, k, v = (
            dense(f"{name}.attention.self.{part}", x)
            .reshape(*ids.shape, 12, -1)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1]) + added
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        y = weights / weights.sum(-1, keepdims=True) @ v
        y = dense(f"{name}.attention.output.dense", y.transpose(0, 2, 1, 3).reshape(*ids.shape, -1))
        x = norm(f"{name}.attention.output.LayerNorm", x + y)
        y = dense(f"{name}.intermediate.dense", x)
        y = y * 0.5 * (1 + erf(y / math.sqrt(2)))
        x = norm(f"{name}.output.LayerNorm", x + dense(f"{name}.output.dense", y))
    return x


@pytest.mark.parametrize("build", [mnist.build, inception.build, bert.build])
def test_valid_and_repeatable(build: Any) -> None:
    """A small variant is valid, marked as random, has a dynamic batch and always the same bytes."""
    model = build(SMALL)
    onnx.checker.check_model(model, full_check=True)

    assert model.metadata_props[0].key == "fastbench.weights"
    assert all(v.type.tensor_type.shape.dim[0].dim_param == "N" for v in model.graph.input)
    assert build(SMALL).SerializeToString() == model.SerializeToString()


@pytest.mark.parametrize("build", [mnist.build, inception.build])
def test_images_differ(build: Any) -> None:
    """Two images get visibly different answers, of the batch's order."""
    model = build(0.25)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    images = np.random.default_rng(1).random((2, *shape), np.float32)
    images[1] *= np.linspace(0, 1, shape[-1], dtype=np.float32)
    answer = run(model, images)[0]

    assert np.abs(answer[0] - answer[1]).max() > 1e-2
    assert np.allclose(answer[::-1], run(model, images[::-1].copy())[0], atol=1e-5)
