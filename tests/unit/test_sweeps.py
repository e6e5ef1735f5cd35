"""The files of sweeps and searches: what is written is read again, what is not whole is refused."""

from __future__ import annotations

import msgspec
import pytest
from support.sample_studies import SEARCH, SWEEP

from fastbench import searches, sweeps
from fastbench.errors import UsageError


def test_sweep_survives_its_file() -> None:
    """What was found is what is read from the file."""
    assert sweeps.from_json(sweeps.to_json(SWEEP)) == SWEEP


def test_search_survives_its_file() -> None:
    """What was found is what is read from the file."""
    assert searches.from_json(searches.to_json(SEARCH)) == SEARCH


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (sweeps.to_json(SWEEP)[:-40], "not a whole fastbench sweep"),
        (b'{"schema_version": 99}', "written by a newer fastbench (schema 99"),
        (b'{"schema_version": 1}', "missing required field"),
    ],
    ids=["cut", "newer", "empty"],
)
def test_damaged_sweep_is_refused(data: bytes, says: str) -> None:
    """Damage and newer schemas are one clear line each."""
    with pytest.raises(UsageError) as caught:
        sweeps.from_json(data)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_search_is_not_a_sweep() -> None:
    """A file of another kind is refused, and the line says what was expected."""
    sweep = msgspec.structs.replace(SWEEP, schema_version=SEARCH.schema_version)

    with pytest.raises(UsageError, match="not a whole fastbench search"):
        searches.from_json(sweeps.to_json(sweep))


def test_sweep_of_an_older_schema_is_still_read() -> None:
    """What was written before text could be a setting reads as ever."""
    older = msgspec.structs.replace(SWEEP, schema_version=1)

    assert sweeps.from_json(sweeps.to_json(older)) == older
