"""Stands where TorchServe imports ``torch`` from, which no model here needs.

TorchServe's worker uses PyTorch only to see whether an answer is a tensor; ours are text. It saves
installing more than a gigabyte.
"""


class Tensor:
    """No answer is one."""
