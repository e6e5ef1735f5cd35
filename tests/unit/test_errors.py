"""Errors: each has an exit code, and there is one base for all."""

from __future__ import annotations

import pytest

import fastbench
from fastbench import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.FastbenchError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_exit_codes(kind: type[errors.FastbenchError]) -> None:
    """Wrong usage, also a name of what is not there, ends with 2; everything else with 1."""
    usage = {errors.UsageError, errors.NoDatasetError, errors.NoModelError}
    assert kind.exit_code == (2 if kind in usage else 1)
    assert kind.__doc__


def test_base_is_public() -> None:
    """Whoever uses the Python interface catches one class."""
    assert fastbench.FastbenchError is errors.FastbenchError
    assert len(KINDS) >= 8
