"""A model under several keys: ``KEY:0``, ``KEY:1`` and so on, taken in turn by inferences."""

from __future__ import annotations

from fastbench.plan import FIELD_KEYS, KEYS_SEQUENCE, Field, Keys


def keys_of(key: str, models: int) -> list[str]:
    """Return the keys of a model; a single one has no number."""
    return [f"{key}:{i}" for i in range(models)] if models > 1 else [key]


def numbered(key: str) -> tuple[str | Field, ...]:
    """Return ``KEY:n`` as an argument, n drawn anew for each inference from :func:`numbers_of`."""
    return (f"{key}:", Field(FIELD_KEYS, 0))


def numbers_of(models: int) -> Keys:
    """Return the numbers 0 to ``models - 1`` in turn."""
    return Keys(KEYS_SEQUENCE, 0, models - 1)
