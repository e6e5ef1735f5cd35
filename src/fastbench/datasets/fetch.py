"""Public data sets by name, downloaded once into the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import IO, TYPE_CHECKING

from fastbench.cache import cache_folder
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], None]

ATTEMPTS = 6  # in a row without a byte gained
TIMEOUT_S = 30.0
_FIRST_WAIT_S = 1.0
_CHUNK_BYTES = 1 << 20
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Archive:
    """A file as its publisher describes it. ``md5`` guards against damage, not against malice."""

    url: str
    size_bytes: int
    md5: str

    @property
    def file_name(self) -> str:
        """Last part of the URL's path."""
        return self.url.rpartition("/")[2]


ARCHIVES = {
    "coco-val2017": Archive(
        url="http://images.cocodataset.org/zips/val2017.zip",
        size_bytes=815_585_330,
        md5="442b8da7639aecaf257c1dceb8ba8c80",
    ),
}


def fetch_archive(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a data set in the cache, downloading it where it is not there yet."""
    return download(ARCHIVES[name], cache_folder() / "downloads", progress)


def download(
    archive: Archive,
    folder: Path,
    progress: Progress | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file into ``folder``, going on where an earlier attempt broke off.

    A broken connection is taken up again after a pause that doubles each time, up to ATTEMPTS
    in a row without progress. The file gets its name only when its size and MD5 are right.
    ``progress`` is called with (bytes done, bytes in all); ``wait`` pauses for seconds.

    Raises :class:`DatasetError` where the server has no such file or another one, the disk is
    full, or it gives up; what was received so far is kept for the next time.
    """
    path = folder / archive.file_name
    if _is_whole(path, archive):
        return path
    partial = folder / (archive.file_name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at it: wait, then look again
            if not _is_whole(path, archive):
                _check_space(folder, archive.size_bytes - file.tell())
                _receive_all(archive, file, progress or _no_progress, wait)
                _check_content(archive, partial)
                partial.rename(path)
    except OSError as error:
        msg = f"{partial}: cannot be written: {error.strerror or error}"
        raise DatasetError(msg) from error
    return path


class _BrokenOffError(Exception):
    """The connection failed in a way that may be over the next time."""


def _no_progress(done: int, total: int) -> None:
    pass


def _is_whole(path: Path, archive: Archive) -> bool:
    return path.is_file() and path.stat().st_size == archive.size_bytes


def _check_space(folder: Path, needed: int) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        msg = f"{folder}: not enough disk space: {needed} bytes to download, {free} free"
        raise DatasetError(msg)


def _receive_all(
    archive: Archive, file: IO[bytes], progress: Progress, wait: Callable[[float], None]
) -> None:
    failures = 0
    while file.tell() < archive.size_bytes:
        before = file.tell()
        try:
            _receive(archive, file, progress)
        except _BrokenOffError as error:
            file.flush()
            failures = 1 if file.tell() > before else failures + 1
            if failures == ATTEMPTS:
                msg = (
                    f"{archive.url}: given up after {ATTEMPTS} attempts ({error}); the same "
                    f"command goes on at byte {file.tell()}"
                )
                raise DatasetError(msg) from error
            wait(_FIRST_WAIT_S * 2 ** (failures - 1))
    file.flush()


def _receive(archive: Archive, file: IO[bytes], progress: Progress) -> None:
    """Take over what one connection gives, from the end of the file on."""
    with _open(archive, file) as response:
        _check_answer(archive, response, file)
        while chunk := _read(response):
            file.write(chunk)
            if file.tell() > archive.size_bytes:
                msg = f"{archive.url}: sends more than {archive.size_bytes} bytes: another file"
                raise DatasetError(msg)
            progress(file.tell(), archive.size_bytes)
    if file.tell() < archive.size_bytes:
        msg = "connection closed early"
        raise _BrokenOffError(msg)


def _open(archive: Archive, file: IO[bytes]) -> HTTPResponse:
    request = urllib.request.Request(archive.url)  # noqa: S310 - our own http URLs
    if file.tell():
        request.add_header("Range", f"bytes={file.tell()}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(archive, error, file) from error
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(str(error)) from error
    assert isinstance(response, HTTPResponse)  # noqa: S101 - of an http URL
    return response


def _refused(archive: Archive, error: urllib.error.HTTPError, file: IO[bytes]) -> Exception:
    if error.code == _RANGE_NOT_SATISFIABLE:  # another file, or no ranges: from the start
        file.truncate(0)
        return _BrokenOffError(f"HTTP {error.code}")
    if error.code in _TRY_AGAIN:
        return _BrokenOffError(f"HTTP {error.code} {error.reason}")
    return DatasetError(f"{archive.url}: HTTP {error.code} {error.reason}")


def _check_answer(archive: Archive, response: HTTPResponse, file: IO[bytes]) -> None:
    """Check the size that the server names, and where in the file its bytes belong."""
    size = response.headers.get("Content-Length")
    if response.status == _PARTIAL_CONTENT:
        first, _, size = response.headers.get("Content-Range", "").rpartition("/")
        if not first.startswith(f"bytes {file.tell()}-"):
            msg = f"{archive.url}: answered with the wrong range ({first!r})"
            raise DatasetError(msg)
    elif file.tell():  # all of it, though only the rest was asked for
        file.truncate(0)
    if size not in (None, "*", str(archive.size_bytes)):
        msg = f"{archive.url}: holds {size} bytes, must be {archive.size_bytes}: another file"
        raise DatasetError(msg)


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from error


def _check_content(archive: Archive, partial: Path) -> None:
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        partial.unlink()
        msg = f"{archive.url}: MD5 is {found}, must be {archive.md5}: damaged, and removed"
        raise DatasetError(msg)
