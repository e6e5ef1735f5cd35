"""Where fastbench keeps what it can make again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastbench.cache import cache_folder
from fastbench.errors import UsageError


def test_given_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME decides."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache_folder() == tmp_path / "fastbench"


@pytest.mark.parametrize("value", [None, "", "relative/folder"])
def test_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None) -> None:
    """Without it, or with a relative one, the folder is below the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)

    assert cache_folder() == tmp_path / ".cache" / "fastbench"


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder is told what to set."""

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)

    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        cache_folder()
