"""What a run counts, in words."""

from __future__ import annotations

import pytest

from fastbench.wording import counted, wording

COMMAND = {"workload": "command"}
BOTH = {"workload": "vision", "streams": [{"workload": "command"}, {"name": "b"}]}


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({}, "inference"),
        ({"workload": "fraud"}, "inference"),
        (COMMAND, "command"),
        ({"workload": "vision", "streams": [COMMAND, COMMAND]}, "command"),
        ({**COMMAND, "streams": [{"name": "a"}]}, "command"),
        (BOTH, "request"),
    ],
)
def test_what_is_counted(config: dict[str, object], word: str) -> None:
    """A stream without a workload of its own has the run's; a mixture counts requests."""
    assert counted(config) == word


def test_sentences() -> None:
    """Articles and capitals follow the word, and names of fields stay as they are."""
    say = wording(COMMAND)

    assert say("an inference in CPU us/inference") == "a command in CPU us/command"
    assert say("Inferences: INFERENCES/S") == "Commands: COMMANDS/S"
    assert say("summary.inferences_per_s") == "summary.inferences_per_s"
    assert wording({})("an inference") == "an inference"
    assert wording(BOTH)("no inference") == "no request"
