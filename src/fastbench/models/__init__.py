"""Models: built from our own code or taken from a file, and an oracle to check servers with."""

from fastbench.models.base import Model, TensorSpec, describe
from fastbench.models.builtin import build_file, builtin_names
from fastbench.models.counting import count_graph
from fastbench.models.loading import load_model
from fastbench.models.onnx_session import Oracle

__all__ = [
    "Model",
    "Oracle",
    "TensorSpec",
    "build_file",
    "builtin_names",
    "count_graph",
    "describe",
    "load_model",
]
