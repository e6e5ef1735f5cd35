"""BERT-base-cased (Devlin et al., 2018): 12 layers, 12 heads, hidden size 768, as an ONNX graph.

The vocabulary (28,996 words, of the cased model), the sizes and the tensor names are those of
the published model as exported to ONNX: 108 million parameters, 433 MB. A sample is a sequence of
128 tokens. GELU is the exact one, with the error function. The weights are pseudo-random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastbench.models.network import Network, scaled

if TYPE_CHECKING:
    import onnx

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
HIDDEN, POOLED = "last_hidden_state", "pooler_output"
VOCABULARY, POSITIONS, SEGMENTS = 28_996, 512, 2
TOKENS = 128
LAYERS, HEADS, HEAD_SIZE, WIDENING = 12, 12, 64, 4
EPSILON = 1e-12
MASKED = -10_000.0  # added to the score of a token that is not to be looked at
SEED = 20181011


def build(scale: float = 1.0) -> onnx.ModelProto:
    """Make the graph: three int64 [N, 128] → [N, 128, hidden] and, of the first token, [N, hidden].

    ``scale``: times so large a hidden size and vocabulary, with 12 layers and 12 heads all the
    same. Deterministic to the byte.
    """
    return _Builder(scale).build()


class _Builder:
    """The layers of the encoder."""

    def __init__(self, scale: float) -> None:
        self._net = Network(SEED)
        self._head = scaled(HEAD_SIZE, scale)
        self._hidden = HEADS * self._head
        self._words = max(2, scaled(VOCABULARY, scale))

    def build(self) -> onnx.ModelProto:
        net = self._net
        heads = np.array([0, 0, HEADS, self._head], np.int64)
        for name, shape in (("heads", heads), ("joined", np.array([0, 0, -1], np.int64))):
            net.constant(f"shape/{name}", shape)
        for name, number in (
            ("half", 0.5), ("one", 1.0), ("root2", 2**0.5), ("masked", MASKED),
            ("root_head", self._head**0.5),
        ):  # fmt: skip
            net.constant(name, np.array(number, np.float32))
        mask, x = self._mask(), self._embeddings()
        for number in range(LAYERS):
            x = self._layer(f"encoder.layer.{number}", x, mask, last=number + 1 == LAYERS)
        self._pool(x)
        tokens = ("int64", (TOKENS,))
        return net.model(
            "bert_base_cased",
            {IDS: tokens, MASK: tokens, TYPES: tokens},
            {HIDDEN: (TOKENS, self._hidden), POOLED: (self._hidden,)},
        )

    def _mask(self) -> str:
        """Return what is added to the scores: [N, 1, 1, tokens]."""
        net = self._net
        axes = net.constant("mask/axes", np.array([1, 2], np.int64))
        x = net.node("Cast", "mask/float", [MASK], to=1)  # onnx.TensorProto.FLOAT
        x = net.node("Unsqueeze", "mask/wide", [x, axes])
        x = net.node("Sub", "mask/inverse", ["one", x])
        return net.node("Mul", "mask/added", [x, "masked"])

    def _embeddings(self) -> str:
        net, name = self._net, "embeddings"
        table = self._table(f"{name}.word_embeddings", self._words)
        x = net.node("Gather", f"{name}/words", [table, IDS])
        table = self._table(f"{name}.token_type_embeddings", SEGMENTS)
        types = net.node("Gather", f"{name}/types", [table, TYPES])
        x = net.node("Add", f"{name}/words_types", [x, types])
        table = self._table(f"{name}.position_embeddings", POSITIONS)
        first, last = (
            net.constant(f"{name}/{end}", np.array([number], np.int64))
            for end, number in (("first", 0), ("last", TOKENS))
        )
        positions = net.node("Slice", f"{name}/positions", [table, first, last, first])
        x = net.node("Add", f"{name}/sum", [x, positions])
        return self._norm(f"{name}.LayerNorm", f"{name}/norm", x)

    def _layer(self, name: str, x: str, mask: str, *, last: bool) -> str:
        net = self._net
        y = self._attention(f"{name}.attention", x, mask)
        x = net.node("Add", f"{name}.attention/residual", [x, y])
        x = self._norm(f"{name}.attention.output.LayerNorm", f"{name}.attention/norm", x)
        wide = WIDENING * self._hidden
        y = self._dense(f"{name}.intermediate.dense", x, self._hidden, wide)
        y = self._gelu(f"{name}.intermediate", y)
        y = self._dense(f"{name}.output.dense", y, wide, self._hidden)
        y = net.node("Add", f"{name}/residual", [x, y])
        return self._norm(f"{name}.output.LayerNorm", HIDDEN if last else f"{name}/norm", y)

    def _attention(self, name: str, x: str, mask: str) -> str:
        net = self._net
        q = self._split(f"{name}.self.query", x, [0, 2, 1, 3])
        k = self._split(f"{name}.self.key", x, [0, 2, 3, 1])
        v = self._split(f"{name}.self.value", x, [0, 2, 1, 3])
        y = net.node("MatMul", f"{name}/scores", [q, k])
        y = net.node("Div", f"{name}/scaled", [y, "root_head"])
        y = net.node("Add", f"{name}/masked", [y, mask])
        y = net.node("Softmax", f"{name}/weights", [y], axis=-1)
        y = net.node("MatMul", f"{name}/context", [y, v])
        y = net.node("Transpose", f"{name}/context_first", [y], perm=[0, 2, 1, 3])
        y = net.node("Reshape", f"{name}/joined", [y, "shape/joined"])
        return self._dense(f"{name}.output.dense", y, self._hidden, self._hidden)

    def _split(self, name: str, x: str, order: list[int]) -> str:
        """Return [N, heads, tokens, head size], or what ``order`` makes of it."""
        x = self._dense(name, x, self._hidden, self._hidden)
        x = self._net.node("Reshape", f"{name}/heads", [x, "shape/heads"])
        return self._net.node("Transpose", f"{name}/heads_first", [x], perm=order)

    def _gelu(self, name: str, x: str) -> str:
        net = self._net
        y = net.node("Div", f"{name}/by_root2", [x, "root2"])
        y = net.node("Erf", f"{name}/erf", [y])
        y = net.node("Add", f"{name}/erf_plus_1", [y, "one"])
        y = net.node("Mul", f"{name}/product", [x, y])
        return net.node("Mul", f"{name}/gelu", [y, "half"])

    def _pool(self, x: str) -> None:
        net = self._net
        first = net.constant("pooler/first", np.array(0, np.int64))
        y = net.node("Gather", "pooler/token", [x, first], axis=1)
        y = self._dense("pooler.dense", y, self._hidden, self._hidden)
        net.node("Tanh", POOLED, [y])

    def _dense(self, name: str, x: str, before: int, after: int) -> str:
        """Add ``x @ weights + bias`` with weights that keep the variance."""
        net = self._net
        weights = net.constant(f"{name}.weight", net.uniform((before, after), (3 / before) ** 0.5))
        bias = net.constant(f"{name}.bias", net.uniform((after,), 0.05))
        x = net.node("MatMul", f"{name}/product", [x, weights])
        return net.node("Add", f"{name}/sum", [x, bias])

    def _norm(self, name: str, output: str, x: str) -> str:
        net, size = self._net, (self._hidden,)
        weights = [
            net.constant(f"{name}.weight", net.uniform(size, 0.5, 1.0)),
            net.constant(f"{name}.bias", net.uniform(size, 0.05)),
        ]
        return net.node("LayerNormalization", output, [x, *weights], axis=-1, epsilon=EPSILON)

    def _table(self, name: str, rows: int) -> str:
        return self._net.constant(f"{name}.weight", self._net.uniform((rows, self._hidden), 1.0))
