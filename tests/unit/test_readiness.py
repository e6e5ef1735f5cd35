"""What a server's answers say about a model that is not ready, and what is advised then."""

from __future__ import annotations

import pytest

from fastbench.servers.readiness import why_model_not_ready, why_server_not_ready
from fastbench.servers.triton_control import UNTOLD, Indexed
from fastbench.targets import parse_target

SAID = "GET /ready was answered 400 Bad Request"
UNKNOWN = "GET / was answered 404 Not Found"


def model(url: str, refused: str, listed: list[Indexed] | None) -> str:
    """Return what is said of a model, without the URL before it."""
    target = parse_target(f"triton+http://h/{url}")
    return why_model_not_ready(target, SAID, refused, listed).removeprefix(f"{target.url}: ")


@pytest.mark.parametrize(
    ("url", "listed", "said"),
    [
        ("a%20b", [], "the server has no model a b; it has none"),
        (
            "m",
            [Indexed("z", "1", "READY"), Indexed("b", "1", "READY"), Indexed("z", "2", "READY")],
            "the server has no model m; it has b, z",
        ),
        ("m", [Indexed("m2", state=UNTOLD)], "the server has no model m; it has m2"),
        (
            "m/7",
            [Indexed("m", "1", "READY"), Indexed("m", "2", "UNAVAILABLE", "unloaded")],
            "the server has no version 7 of model m; it has 1, 2",
        ),
    ],
)
def test_what_is_not_there(url: str, listed: list[Indexed], said: str) -> None:
    """A model or version that the server does not list is said to be absent, with what there is."""
    assert model(url, UNKNOWN, listed) == said


def test_many_models() -> None:
    """Of very many models some are named, and the others counted."""
    listed = [Indexed(f"m{i:02}", "1", "READY") for i in range(13)]

    assert model("m", UNKNOWN, listed).endswith("m08, m09 and 3 more")


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([Indexed("m")], "model m does not run there: it is not loaded; 'fastbench model load' it"),
        (
            [Indexed("m", "1", "UNAVAILABLE", "Internal:\n no  good")],
            "version 1 is UNAVAILABLE (Internal: no good); 'fastbench model load' it",
        ),
        ([Indexed("m", "1", "LOADING")], "the server loads it just now; wait for it"),
    ],
)
def test_what_does_not_run(listed: list[Indexed], said: str) -> None:
    """A model that is there but not loaded is said to be that, also where a version is named."""
    assert said in model("m", UNKNOWN, listed)
    assert said in model("m/1", UNKNOWN, listed) or not listed[0].version


def test_other_versions_do_not_matter() -> None:
    """Another version that is loaded just now is no reason to wait for the one that is named."""
    listed = [Indexed("m", "1", "UNAVAILABLE", "unloaded"), Indexed("m", "2", "LOADING")]

    assert "version 1 is UNAVAILABLE (unloaded)" in model("m/1", UNKNOWN, listed)
    assert "wait for it" in model("m", UNKNOWN, listed)


@pytest.mark.parametrize("listed", [None, [Indexed("m", "1", "READY")], [Indexed("m", "", UNTOLD)]])
def test_by_what_the_server_says_of_the_model(listed: list[Indexed] | None) -> None:
    """Where the list does not decide, a server that refuses to describe it does not know it."""
    unknown, known = model("m", UNKNOWN, listed), model("m", "", listed)

    assert unknown == f"the server does not know model m: {UNKNOWN}; check its name and version"
    assert known.startswith(f"model m is not ready: {SAID}; wait for it")


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (None, f"not ready: {SAID}; wait for it, or look into the server's log"),
        ([Indexed("a"), Indexed("b", "1", "UNAVAILABLE", "unloaded")], f"not ready: {SAID}; wait"),
        ([Indexed("a", "1", "LOADING")], "model a: version 1 is LOADING; wait for it"),
        (
            [Indexed("a", "1", "UNAVAILABLE", "no file"), Indexed("b", "1", "READY")],
            "not ready: model a: version 1 is UNAVAILABLE (no file); mend it, or start Triton",
        ),
    ],
)
def test_server(listed: list[Indexed] | None, said: str) -> None:
    """A server that a failed model keeps from being ready is not waited for."""
    assert said in why_server_not_ready(parse_target("triton+http://h/m"), SAID, listed)
