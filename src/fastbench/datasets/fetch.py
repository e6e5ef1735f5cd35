"""Public data sets by name, downloaded once into the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.cache import cache_folder
from fastbench.download import RemoteFile, download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARCHIVES = {
    "coco-val2017": RemoteFile(
        url="http://images.cocodataset.org/zips/val2017.zip",
        size_bytes=815_585_330,
        md5="442b8da7639aecaf257c1dceb8ba8c80",
    ),
}


def fetch_archive(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Return the path of a data set in the cache, downloading it where it is not there yet.

    Raises :class:`DownloadError` as :func:`fastbench.download.download` does.
    """
    return download(ARCHIVES[name], cache_folder() / "downloads", progress)
