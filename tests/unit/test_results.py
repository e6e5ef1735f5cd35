"""The JSON schema: what a file holds, what is refused, and what the documentation says of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.sample_result import repetition, result

from fastbench.errors import UsageError
from fastbench.results import SCHEMA_VERSION, Result, from_json, to_json

if TYPE_CHECKING:
    from pathlib import Path

#: Fields that readers of the file may rely on; [] = each element.
PROMISED = (
    "schema_version",
    "config",
    "platform",
    "target",
    "warnings[]",
    "repetitions[].inferences_per_s",
    "repetitions[].counts.intended",
    "repetitions[].counts.sent",
    "repetitions[].counts.ok",
    "repetitions[].counts.errors",
    "repetitions[].counts.timeouts",
    "repetitions[].counts.lost",
    "repetitions[].counts.unfinished",
    "repetitions[].counts.errors_by_class",
    "repetitions[].response_ms.p50",
    "repetitions[].service_ms.p50",
    "repetitions[].timeseries",
    "repetitions[].client",
    "summary.inferences_per_s",
    "summary.response_ms.min",
    "summary.response_ms.mean",
    "summary.response_ms.p50",
    "summary.response_ms.p95",
    "summary.response_ms.p99",
    "summary.response_ms.p999",
    "summary.response_ms.max",
)


def values_at(data: Any, path: str) -> list[Any]:
    """Return all values at a dotted path."""
    values = [data]
    for part in path.split("."):
        values = [value[part.removesuffix("[]")] for value in values]
        if part.endswith("[]"):
            values = [element for value in values for element in value]
    return values


def schema_fields() -> set[tuple[str, str]]:
    """Return (record, field) of the whole schema."""
    _, records = msgspec.json.schema_components([Result], ref_template="{name}")
    return {(name, field) for name, record in records.items() for field in record["properties"]}


def test_round_trip() -> None:
    """What is written is read back the same."""
    original = result(repetition(1, timeouts=1, errors=2), repetition(2))

    assert from_json(to_json(original)) == original


@pytest.mark.parametrize("path", PROMISED)
def test_promised_fields_are_there(path: str) -> None:
    """Each field that others may rely on is in the file, under that name."""
    data = json.loads(to_json(result()))

    for value in values_at(data, path):
        assert value is not None


def test_counts_are_conserved_in_the_sample() -> None:
    """What was intended was sent or not, and sent is the sum of the outcomes."""
    for counts in values_at(
        json.loads(to_json(result(repetition(1, timeouts=3, errors=2)))), "repetitions[].counts"
    ):
        assert counts["intended"] == counts["sent"] + counts["never_sent"]
        outcomes = ("ok", "errors", "timeouts", "lost", "unfinished")
        assert counts["sent"] == sum(counts[name] for name in outcomes)


def test_records_are_frozen_and_keyword_only() -> None:
    """A result cannot be changed after the fact."""
    with pytest.raises(AttributeError):
        result().status = "partial"


def test_unknown_fields_are_ignored() -> None:
    """A file of a later fastbench with the same schema version can be read."""
    data = json.loads(to_json(result()))
    data["new"] = data["repetitions"][0]["counts"]["new"] = 1

    assert from_json(json.dumps(data).encode()) == result()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a whole fastbench result"),
        (b'{"schema_version": 1', "not a whole fastbench result"),
        (b"[]", "not a whole fastbench result"),
        (b'{"schema_version": 1}', "missing required field"),
        (
            b'{"schema_version": %d}' % (SCHEMA_VERSION + 1),
            rf"newer fastbench \(schema {SCHEMA_VERSION + 1}.*update fastbench",
        ),
        (b'{"schema_version": 0}', r"older fastbench \(schema 0, this one reads from 1\)"),
        (to_json(result()).replace(b'"intended": 4000', b'"intended": "x"'), r"counts\.intended"),
    ],
)
def test_what_is_not_a_result_is_refused(data: bytes, says: str) -> None:
    """Damage and newer schemas are one clear line each, with the place where known."""
    with pytest.raises(UsageError, match=says) as caught:
        from_json(data)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record", sorted({record for record, _ in schema_fields()}))
def test_every_field_is_documented(root: Path, record: str) -> None:
    """docs/results.md has a section for each record, with a row for each of its fields."""
    text = (root / "docs" / "results.md").read_text(encoding="utf-8")
    section = re.search(rf"^### `{record}`$(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)

    assert section is not None
    cells = re.findall(r"^\|([^|]*)\|", section[1], re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", "".join(cells)))
    assert {field for name, field in schema_fields() if name == record} == documented
