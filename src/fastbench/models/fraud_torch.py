"""The fraud network as TorchScript, with the weights of the ONNX graph; needs PyTorch."""

from __future__ import annotations

import io
from typing import Any

from fastbench.errors import ModelError
from fastbench.models.fraud import COLUMNS, REFERENCE_VALUES, SIZES, make_layers


def build_torchscript(*, reference: bool) -> bytes:
    """Return the file of the network; inputs and output as :func:`fastbench.models.fraud.build`.

    Raises :class:`ModelError` where PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as e:
        msg = "--backend TORCH: PyTorch is not installed here: pip install torch"
        raise ModelError(msg) from e
    lengths = (COLUMNS, REFERENCE_VALUES) if reference else (COLUMNS,)
    traced = torch.jit.trace(
        _network(reference=reference), tuple(torch.zeros(2, n) for n in lengths)
    )
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    return buffer.getvalue()


def _network(*, reference: bool) -> Any:
    import torch

    class Network(torch.nn.Module):
        """Each column divided by its size, then the layers over all inputs side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("sizes", torch.tensor(SIZES))
            for i, layer in enumerate(make_layers(reference=reference)):
                self.register_buffer(f"weights{i}", torch.from_numpy(layer.weights))
                self.register_buffer(f"bias{i}", torch.from_numpy(layer.bias))

        def forward(self, transaction: Any, *others: Any) -> Any:
            x = torch.cat([transaction / self.sizes, *others], 1)
            for i in range(3):
                x = torch.sigmoid(x @ getattr(self, f"weights{i}") + getattr(self, f"bias{i}"))
            return torch.softmax(x @ self.weights3 + self.bias3, 1)

    return Network().eval()
