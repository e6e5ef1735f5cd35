"""`fastbench doctor` as a process, on whatever machine this is."""

from __future__ import annotations

import json

from support.cli import fastbench


def test_text_and_json() -> None:
    """Both forms describe this machine, end with 0 and write nothing to standard error."""
    text, data = fastbench("doctor"), fastbench("doctor", "--format", "json")

    assert text.code == data.code == 0
    assert text.err == data.err == ""
    checkup = json.loads(data.out)
    assert checkup["platform"]["cpus_logical"] >= 1
    assert all(f"{key}:" in text.out for key in checkup["platform"])
    assert all(f"[{f['severity']}] {f['code']}:" in text.out for f in checkup["findings"])
    assert "fastbench net serve" in text.out


def test_wrong_usage() -> None:
    """An unknown format is wrong usage."""
    done = fastbench("doctor", "--format", "html")

    assert done.code == 2
    assert "console or json" in done.line
