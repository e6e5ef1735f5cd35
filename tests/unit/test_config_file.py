"""Configuration files: what they say reaches the configuration, what they get wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fastbench import cli, runner
from fastbench.config import CommandConfig, RunConfig, TlsConfig
from fastbench.config_file import make_config, read_config
from fastbench.errors import UsageError
from fastbench.streams import parts_of


def config_of(folder: Path, text: str) -> RunConfig:
    """Return the configuration that a file makes."""
    path = folder / "f.toml"
    path.write_text(text)
    return make_config(read_config(path))


def test_every_kind_of_value(tmp_path: Path) -> None:
    """Numbers, texts, paths, lists and tables become what the configuration has."""
    config = config_of(
        tmp_path,
        """
        target = "rediss://h:1"
        threads = 2
        timeout_s = 5
        pin = true
        cpus = "0-2,4"
        dataset = "some/where"
        out = "results"
        [command]
        commands = ["SET {key} 'a b'", ["GET", "{key}"]]
        ratios = [1, 3]
        [tls]
        ca = "ca.pem"
        min_version = "1.3"
        """,
    )

    assert config == RunConfig(
        target="rediss://h:1",
        workload="command",
        threads=2,
        timeout_s=5.0,
        cpus=(0, 1, 2, 4),
        dataset=Path("some/where"),
        out=Path("results"),
        command=CommandConfig(commands=(("SET", "{key}", "a b"), ("GET", "{key}")), ratios=(1, 3)),
        tls=TlsConfig(ca=Path("ca.pem"), min_version="1.3"),
    )


def test_empty_file(tmp_path: Path) -> None:
    """A file that says nothing leaves everything as it is by default."""
    assert config_of(tmp_path, "") == RunConfig()


def test_streams(tmp_path: Path) -> None:
    """Each stream has its own values, its tables go key by key before the run's."""
    config = config_of(
        tmp_path,
        """
        target = "redis://h"
        rate_per_s = 100
        [command]
        key_prefix = "k"
        [[stream]]
        name = "get"
        weight = 4
        command.commands = ["GET {key}"]
        [[stream]]
        name = "set"
        pipeline = 3
        command = { commands = ["SET {key} 1"], key_prefix = "other" }
        [[stream]]
        name = "images"
        target = "redisai://i"
        workload = "vision"
        batch = 2
        """,
    )

    get, set_, images = parts_of(config)

    assert get.config.command == CommandConfig(commands=(("GET", "{key}"),), key_prefix="k")
    assert set_.config.command == CommandConfig(
        commands=(("SET", "{key}", "1"),), key_prefix="other"
    )
    assert (set_.config.pipeline, get.config.pipeline) == (3, 1)
    assert (images.config.workload, images.config.command) == ("vision", None)
    assert [p.config.rate_per_s for p in (get, set_, images)] == pytest.approx(
        [400 / 6, 100 / 6, 100 / 6]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theads = 2", "theads: unknown key; did you mean threads?"),
        ("xyzzy = 2", "xyzzy: unknown key; known are target"),
        ("stream = 2", "write each as a table [[stream]]"),
        ("threads = '2'", "threads = '2': Expected `int`, got `str`"),
        ("threads = 1.5", "threads = 1.5: Expected `int`, got `float`"),
        ("threads = true", "threads = True: Expected `int`, got `bool`"),
        ("pin = 1", "pin = 1: Expected `bool`, got `int`"),
        ("dataset = 3", "dataset = 3: Expected"),
        ("inputs = 'a'", "inputs = 'a': Expected `array`"),
        ("cpus = 'a'", "cpus = 'a'"),
        ("tls = 3", "tls: must be a table [tls]"),
        ("[tls]\nserver_nam = 'a'", "[tls] server_nam: unknown key; did you mean server_name?"),
        ('[command]\ncommands = ["GET \'a"]', "[command] commands"),
        ("[command]\nresp = 'x'", "[command] resp = 'x': Expected `int`"),
        ("[[stream]]\nweight = 2", "[[stream]] 1: needs a name"),
        ("[[stream]]\nname = 3", "name = 3: Expected `str`"),
        ("[[stream]]\nname = 'a'\nthreads = 2", "'a': threads: belongs to the run"),
        (
            "[[stream]]\nname = 'a'\npipelines = 2",
            "'a': pipelines: unknown key; did you mean pipeline",
        ),
        ("[[stream]]\nname = 'a'\nweight = 'x'", "'a': weight = 'x': Expected `float"),
        ("[[stream]]\nname = 'a'\n[stream.command]\nx = 1", "'a': [command] x: unknown key"),
        ("threads = ", "is not TOML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    """A mistake is one line with the file, the key and what would be right."""
    with pytest.raises(UsageError) as refused:
        config_of(tmp_path, text)

    line = str(refused.value)
    assert words in line
    assert str(tmp_path / "f.toml") in line
    assert "\n" not in line


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(UsageError, match="No such file"):
        read_config(tmp_path / "none.toml")


def test_options_go_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user wrote goes before the file, even a default; the file goes before defaults."""
    asked: list[RunConfig] = []

    def take(config: RunConfig, **_: object) -> None:
        asked.append(config)
        raise typer.Exit

    monkeypatch.setattr(runner, "run", take)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    path = tmp_path / "f.toml"
    path.write_text(
        """
        target = "redisais://h"
        threads = 4
        pipeline = 8
        warmup_s = 3
        tls = { ca = "a", server_name = "n" }
        """
    )
    arguments = ["run", "--config", str(path), "--pipeline", "1", "--tls-ca", "b"]

    CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    CliRunner().invoke(cli.app, ["run", "redisais://i", *arguments[1:]], catch_exceptions=False)

    first, second = asked
    assert (first.target, first.threads, first.pipeline, first.warmup_s) == (
        *("redisais://h", 4, 1),
        3.0,
    )
    assert first.repetitions == RunConfig().repetitions
    assert first.tls == TlsConfig(ca=Path("b"), server_name="n")
    assert second.target == "redisais://i"
