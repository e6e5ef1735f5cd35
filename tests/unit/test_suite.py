"""The ONNX suite: what it accepts, what it prints, what its messages are."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.sample_studies import SUITE

from fastbench import suites
from fastbench.cli.onnx_suite import _hyphens
from fastbench.errors import UsageError
from fastbench.plan import KEYS_SEQUENCE, Field, Keys, Length, Text
from fastbench.report import suite_formats
from fastbench.servers.suite_messages import Stored, output_keys, stream_of
from fastbench.suite import SuiteConfig


def test_console() -> None:
    """Every figure is there, failures are counted, and what is not available says so."""
    text = suite_formats.console(SUITE).decode()
    lines = [" ".join(line.split()) for line in text.splitlines()]

    assert lines[0] == "fastbench 1: ONNX suite, PARTIAL"
    assert "executes not available" in lines
    assert "mnist: mnist|cnn 50 0.025 5,994 786,560 0.25 s not compared" in lines
    assert "start 1.5 not available" in lines
    assert "parallel, mnist 20 100 3 64.67 1.500 2.500 > 900 12.3 2.1 %" in lines


def test_broken_suite() -> None:
    """What ended it early stands in every report."""
    broken = msgspec.structs.replace(SUITE, error="redisai://host:6379: connection refused")

    for show in (suite_formats.console, suite_formats.markdown):
        assert "connection refused" in show(broken).decode()
    assert "error" not in suite_formats.console(SUITE).decode()


def test_markdown() -> None:
    """Tables have as many cells as heads, and a bar in a name does not make another cell."""
    text = suite_formats.markdown(SUITE).decode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows]

    assert cells == [7] * 3 + [3] * 3 + [10] * 3
    assert "random weights" in text


def test_json_round_trip() -> None:
    """What is written can be read again; a newer schema is refused."""
    suite = SUITE
    newer = suites.to_json(msgspec.structs.replace(suite, schema_version=99))

    assert suites.from_json(suites.to_json(suite)) == suite
    with pytest.raises(UsageError, match="newer fastbench"):
        suites.from_json(newer)


def test_format_is_checked() -> None:
    """An unknown format is refused before anything runs."""
    with pytest.raises(UsageError, match="console, json, markdown"):
        suite_formats.check_format("csv")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("num_parallel_clients", 0, "--num-parallel-clients 0: must be from 1 to 10000"),
        ("num_runs_bert", 0, "--num-runs-bert 0: must be"),
        ("num_threads", 300, "--num-threads 300: must be from 1 to 256"),
        ("scale", 0.0, "--scale 0: must be from 0.001 to 1"),
        ("scale", float("nan"), "--scale nan"),
        ("scale", 0.0015, "--scale 0.0015: must have at most three decimals"),
        ("scale", 0.9996, "--scale 0.9996: must have at most three decimals"),
    ],
)
def test_limits(name: str, value: float, words: str) -> None:
    """Values out of range are refused, naming the option."""
    with pytest.raises(UsageError, match=re.escape(words)):
        SuiteConfig(**{name: value})


def test_models() -> None:
    """A file is taken as it is; the built-in models are scaled."""
    config = SuiteConfig(scale=0.25, bert=Path("my.onnx"))

    assert [config.model(n) for n in ("mnist", "inception", "bert")] == [
        *("mnist_cnn@0.25", "inception_v2_224@0.25", "my.onnx"),
    ]
    assert SuiteConfig().model("bert") == "bert_base_cased"
    assert SuiteConfig(scale=0.999).model("bert") == "bert_base_cased@0.999"
    assert SuiteConfig(scale=0.001).model("bert") == "bert_base_cased@0.001"
    assert config.to_dict()["bert"] == "my.onnx"


def test_hyphens() -> None:
    """Underscores of an option's name become hyphens, those of its value stay."""
    words = ["--num_runs_bert=5", "--num_threads", "a_b", "--out=a_b", "-x_y"]

    assert [_hyphens(word) for word in words] == [
        *("--num-runs-bert=5", "--num-threads", "a_b", "--out=a_b", "-x_y"),
    ]


def test_message() -> None:
    """One AI.MODELEXECUTE of each key in turn, with outputs of the connection's own."""
    server: Any = SimpleNamespace(address="/s", opening=lambda: (), tls=None)
    stored = Stored("p:bert", 3, ("i0", "i1"), 2)
    stream = stream_of(server, stored, 4)
    (message,) = stream.messages
    sent, counted = b"", 0
    for i, part in enumerate(message.parts):
        if isinstance(part, Length):  # of the key "p:bert:2"
            covered = message.parts[i + 1 + part.skip :][: part.covers]
            counted = sum(len(p.data) if isinstance(p, Text) else 1 for p in covered)
            sent += b"%d" % counted
        elif isinstance(part, Field):
            sent += b"%0*d" % (part.width, 3 if part.width else 2)
        else:
            assert isinstance(part, Text)
            sent += part.data

    assert sent == (
        b"*10\r\n$15\r\nAI.MODELEXECUTE\r\n$8\r\np:bert:2\r\n"
        b"$6\r\nINPUTS\r\n$1\r\n2\r\n$2\r\ni0\r\n$2\r\ni1\r\n"
        b"$7\r\nOUTPUTS\r\n$1\r\n2\r\n$18\r\np:bert:out0:000003\r\n$18\r\np:bert:out1:000003\r\n"
    )
    assert output_keys(stored, 3) == ["p:bert:out0:000003", "p:bert:out1:000003"]
    assert stream.keys == (Keys(KEYS_SEQUENCE, 0, 2),)
