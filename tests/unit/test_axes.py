"""What a sweep varies: ranges, lists of cells, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbench.axes import cell_name, configure, factorial, parse_axes, read_cells, values_of
from fastbench.config import CommandConfig, RunConfig
from fastbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("connections=1,2,4", [1, 2, 4]),
        ("connections=1..64x2", [1, 2, 4, 8, 16, 32, 64]),
        ("pipeline=1..100x10", [1, 10, 100]),
        ("threads=1..3+1", [1, 2, 3]),
        ("rate=100..1000+300", [100.0, 400.0, 700.0, 1000.0]),
        ("rate=0.1..0.5+0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("rate=1e3,2.5e3", [1000.0, 2500.0]),
        ("batch=1,4..16x2, 100", [1, 4, 8, 16, 100]),
        ("connections=1..10x1.5", [1, 2, 3, 5, 8]),
        ("connections=1..50x2", [1, 2, 4, 8, 16, 32]),
    ],
)
def test_values_of_an_axis(text: str, values: list[float]) -> None:
    """Lists, doubling and steps give the values that they say, up to and with the end."""
    (found,) = parse_axes([text]).values()

    assert found == values


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["connections"], "write --over connections=1,2,4"),
        (["colour=1"], "'colour' cannot be varied; there are rate, connections"),
        (["pipeline=1", "pipeline=2"], "given twice"),
        (["pipeline=1,2,1"], "same value twice"),
        (["pipeline=1.5"], "is not a whole number"),
        (["rate=fast"], "is not a number"),
        (["pipeline=8..1x2"], "must rise"),
        (["pipeline=1..8x1"], "must rise"),
        (["pipeline=0..8x2"], "must rise"),
        (["rate=1..1e9+1"], "more than 10,000 values"),
        (["pipeline="], "is not a whole number"),
        (["pipeline=-1"], "is not a whole number"),
    ],
)
def test_wrong_axis_is_refused(texts: list[str], says: str) -> None:
    """What is wrong is named in one line."""
    with pytest.raises(UsageError) as caught:
        parse_axes(texts)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_factorial_has_every_combination_once() -> None:
    """Two axes of 3 and 2 values make 6 different cells."""
    cells = factorial(parse_axes(["connections=1,2,4", "pipeline=1,8"]))

    assert len({cell_name(c) for c in cells}) == 6
    assert cells[0] == {"connections": 1, "pipeline": 1}
    assert cells[1] == {"connections": 1, "pipeline": 8}


def test_targets_are_told_apart() -> None:
    """A comma between two URLs is none within one, which may name several servers."""
    urls = ["redisai://h1:1,h2:2", "embedded:", "rest://h:80/a,b", "redisai+unix:///x,/y"]

    assert values_of("--servers", "target", ",".join(urls)) == urls


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("target", "redisai://a,mongodb://b", "unknown scheme"),
        ("target", "rest://a/,rest://a/", "--servers: has the same value twice"),
        ("workload", "vision,", "--servers: a workload is empty"),
    ],
)
def test_wrong_texts_are_refused(name: str, text: str, says: str) -> None:
    """What cannot be a value is named before anything runs."""
    with pytest.raises(UsageError, match=says):
        values_of("--servers", name, text)


def test_text_is_part_of_a_folders_name() -> None:
    """A URL loses what has a meaning in a path or another URL; a number stays as it was."""
    name = cell_name({"target": "rest://ann@h:80/../p?q=1", "dataset": "../x", "connections": 4})

    assert name == "target-rest-ann-h-80-..-p-q-1_dataset-x_connections-4"


def test_text_settings_become_a_configuration() -> None:
    """What is sent may be varied as well: by name, a folder as a path."""
    config = configure(RunConfig(), {"target": "rest://h/", "body": "json", "dataset": "d"})

    assert (config.target, config.body, config.dataset) == ("rest://h/", "json", Path("d"))


def test_too_many_cells_are_refused() -> None:
    """A slip of the pen does not start a sweep of a week."""
    with pytest.raises(UsageError, match="at most 10,000"):
        factorial(parse_axes(["rate=1..5000+1", "connections=1..100+1"]))


@pytest.mark.parametrize(
    "content",
    [
        "connections, pipeline\n1, 1\n4,2\n\n",
        '{"connections": 1, "pipeline": 1}\n\n{"connections": 4, "pipeline": 2}\n',
        "\ufeffconnections,pipeline\r\n1,1\r\n4,2\r\n",
    ],
    ids=["csv", "jsonl", "csv with BOM"],
)
def test_list_of_cells(tmp_path: Path, content: str) -> None:
    """CSV and JSON lines say the same."""
    path = tmp_path / "cells"
    path.write_text(content, encoding="utf-8", newline="")

    assert read_cells(path) == [
        {"connections": 1, "pipeline": 1},
        {"connections": 4, "pipeline": 2},
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("connections\n", "has 0 cells"),
        ("connections\n1\nx\n", "line 3: 'x' is not a whole number"),
        ("connections,pipeline\n1\n", "line 2: has 1 values for 2 names"),
        ("colour\n1\n", "'colour' cannot be varied"),
        ("connections\n1\n1\n", "connections-1 is there twice"),
        ('{"connections": 1}\n{"pipeline": 1}\n', "same names as the first"),
        ('{"connections": 1}\n{"connections": \n', "line 2: is not JSON"),
        ('{"connections": 1}\n[1]\n', "line 2: must be an object"),
        ('{"connections": true}\n', "'True' is not a whole number"),
    ],
)
def test_wrong_list_is_refused(tmp_path: Path, content: str, says: str) -> None:
    """The line that is wrong is named."""
    path = tmp_path / "cells"
    path.write_text(content)

    with pytest.raises(UsageError) as caught:
        read_cells(path)

    assert says in str(caught.value)


def test_missing_list_is_refused(tmp_path: Path) -> None:
    """A file that is not there is one line."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_cells(tmp_path / "none")


def test_cell_becomes_a_configuration() -> None:
    """Each setting lands in its field; the rest stays."""
    base = RunConfig(target="redis://h", workload="command", command=CommandConfig(), threads=2)

    config = configure(base, {"rate": 100.0, "connections": 8, "pipeline": 3})

    assert (config.rate_per_s, config.connections, config.pipeline) == (100.0, 8, 3)
    assert config.threads == 2


def test_cell_that_cannot_be_run_is_named() -> None:
    """Settings that do not fit together are refused before anything is run."""
    with pytest.raises(UsageError, match=r"cell threads-4_connections-2: --connections 2 is less"):
        configure(RunConfig(), {"threads": 4, "connections": 2})
