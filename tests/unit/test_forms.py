"""Forms and what goes together with them: each wrong combination is one line with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastbench.config import RunConfig
from fastbench.errors import ModelError, UsageError
from fastbench.forms import DIALECTS, FORMS
from fastbench.models.script import read_script

FILE = Path("s.py")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "pipeline", "persist": True}, "--persist and --form pipeline.*dag or script"),
        ({"form": "execute", "persist": True}, "--persist and --form execute"),
        ({"form": "dag-ro", "persist": True}, "--persist and --form dag-ro"),
        ({"form": "script"}, "--form script and --script FILE belong together"),
        ({"form": "dag", "script": FILE}, "--form script and --script FILE belong together"),
        ({"form": "execute", "verify": 1}, "--verify: --form execute reads no answer"),
        ({"form": "script", "script": FILE, "verify": 1}, "--verify: --form script replies"),
        ({"form": "dags"}, "--form 'dags': must be one of pipeline, dag, dag-ro"),
        ({"dialect": "old"}, "--dialect 'old': must be one of modern, legacy"),
        ({"server_timeout_ms": -1}, "--server-timeout -1: must be between 0"),
        ({"server_batch": 8, "server_min_batch_timeout_ms": 5}, "without --server-min-batch"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], message: str) -> None:
    """The line names the options and what to use instead."""
    with pytest.raises(UsageError, match=message):
        RunConfig(**options)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_both_dialects(form: str, dialect: str) -> None:
    """No form needs one dialect: with what it needs, it is accepted in both."""
    RunConfig(form=form, dialect=dialect, script=FILE if form == "script" else None)


def test_functions_of_a_script(tmp_path: Path) -> None:
    """Only functions at the top count, and they are called in their order, not the file's."""
    path = tmp_path / "around.py"
    path.write_text(
        "def post_process(a):\n    return a\n\ndef other(a):\n    def inner(b):\n"
        "        return b\n    return a\n\ndef pre_process(a):\n    return a\n"
    )

    script = read_script(path)

    assert (script.name, script.functions) == ("around", ("pre_process", "post_process"))
    assert script.source == path.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "cannot be read"),
        (b"def pre_process(:\n", "line 1: is not TorchScript"),
        (b"x = '\0'", "is not TorchScript"),
        (b"def preprocess(a):\n    return a\n", "neither pre_process nor post_process"),
    ],
    ids=["missing", "not text", "syntax", "nul", "no function"],
)
def test_bad_script(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is no script is named, with what is wrong and where."""
    path = tmp_path / "s.py"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ModelError, match=message) as caught:
        read_script(path)

    assert str(path) in str(caught.value)
