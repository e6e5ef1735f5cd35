"""Files from the network: resumable, patient, and checked against what their publisher says."""

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

from fastbench.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], None]

ATTEMPTS = 6  # in a row without a byte gained
TIMEOUT_S = 30.0
_FIRST_WAIT_S = 1.0
SMALL_BYTES = 1 << 20  # of a page
_CHUNK_BYTES = 1 << 20
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its publisher describes it. ``md5`` guards against damage, not against malice.

    ``name``: what it is to be called; empty = the last part of the URL's path.
    """

    url: str
    size_bytes: int
    md5: str
    name: str = ""

    @property
    def file_name(self) -> str:
        """What it is called here."""
        return self.name or self.url.rpartition("/")[2]


def download(
    remote: RemoteFile,
    folder: Path,
    progress: Progress | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file into ``folder``, going on where an earlier attempt broke off.

    A broken connection is taken up again after a pause that doubles each time, up to ATTEMPTS
    in a row without progress. The file gets its name only when its size and MD5 are right.
    ``progress`` is called with (bytes done, bytes in all); ``wait`` pauses for seconds.

    Raises :class:`DownloadError` where the server has no such file or another one, the disk is
    full, or it gives up; what was received so far is kept for the next time.
    """
    path = folder / remote.file_name
    if _is_whole(path, remote):
        return path
    partial = folder / (remote.file_name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at it: wait, then look again
            file.seek(0, os.SEEK_END)
            if not _is_whole(path, remote):
                _check_space(folder, remote.size_bytes - file.tell())
                _receive_all(remote, file, progress or _no_progress, wait)
                _check_content(remote, partial)
                partial.rename(path)
    except OSError as error:
        msg = f"{partial}: cannot be written: {error.strerror or error}"
        raise DownloadError(msg) from error
    return path


def read_small(url: str, wait: Callable[[float], None] = time.sleep) -> bytes:
    """Return the content of a small page, tried as patiently as :func:`download`.

    Raises :class:`DownloadError` where the server has no such page, it is larger than SMALL_BYTES,
    or it gives up.
    """
    failures = 0
    while True:
        try:
            with _connect(urllib.request.Request(url)) as response:  # noqa: S310 - http
                content = _read(response, SMALL_BYTES + 1)
                if len(content) > SMALL_BYTES:
                    msg = f"{url}: sends more than {SMALL_BYTES} bytes: another page"
                    raise DownloadError(msg)
                _check_length(response, content)
                return content
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _TRY_AGAIN:
                msg = f"{url}: HTTP {error.code} {error.reason}"
                raise DownloadError(msg) from error
            reason = f"HTTP {error.code} {error.reason}"
        except _BrokenOffError as error:
            reason = str(error)
        failures += 1
        if failures == ATTEMPTS:
            msg = f"{url}: given up after {ATTEMPTS} attempts ({reason})"
            raise DownloadError(msg)
        wait(_FIRST_WAIT_S * 2 ** (failures - 1))


class _BrokenOffError(Exception):
    """The connection failed in a way that may be over the next time."""


def _no_progress(done: int, total: int) -> None:
    pass


def _is_whole(path: Path, remote: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == remote.size_bytes


def _check_space(folder: Path, needed: int) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        msg = f"{folder}: not enough disk space: {needed} bytes to download, {free} free"
        raise DownloadError(msg)


def _receive_all(
    remote: RemoteFile, file: IO[bytes], progress: Progress, wait: Callable[[float], None]
) -> None:
    failures = 0
    while file.tell() < remote.size_bytes:
        before = file.tell()
        try:
            _receive(remote, file, progress)
        except _BrokenOffError as error:
            file.flush()
            failures = 1 if file.tell() > before else failures + 1
            if failures == ATTEMPTS:
                msg = (
                    f"{remote.url}: given up after {ATTEMPTS} attempts ({error}); the same "
                    f"command goes on at byte {file.tell()}"
                )
                raise DownloadError(msg) from error
            wait(_FIRST_WAIT_S * 2 ** (failures - 1))
    file.flush()


def _receive(remote: RemoteFile, file: IO[bytes], progress: Progress) -> None:
    """Take over what one connection gives, from the end of the file on."""
    with _open(remote, file) as response:
        _check_answer(remote, response, file)
        while chunk := _read(response):
            file.write(chunk)
            if file.tell() > remote.size_bytes:
                msg = f"{remote.url}: sends more than {remote.size_bytes} bytes: another file"
                raise DownloadError(msg)
            progress(file.tell(), remote.size_bytes)
    if file.tell() < remote.size_bytes:
        msg = "connection closed early"
        raise _BrokenOffError(msg)


def _open(remote: RemoteFile, file: IO[bytes]) -> HTTPResponse:
    request = urllib.request.Request(remote.url)  # noqa: S310 - our own http URLs
    if file.tell():
        request.add_header("Range", f"bytes={file.tell()}-")
    try:
        return _connect(request)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(remote, error, file) from error


def _connect(request: urllib.request.Request) -> HTTPResponse:
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - http(s) alone, see Remote
    except urllib.error.HTTPError:
        raise
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(str(error)) from error
    return response


def _check_length(response: HTTPResponse, content: bytes) -> None:
    if response.headers.get("Content-Length") not in (None, str(len(content))):
        msg = "connection closed early"
        raise _BrokenOffError(msg)


def _refused(remote: RemoteFile, error: urllib.error.HTTPError, file: IO[bytes]) -> Exception:
    if error.code == _RANGE_NOT_SATISFIABLE:  # another file, or no ranges: from the start
        _empty(file)
        return _BrokenOffError(f"HTTP {error.code}")
    if error.code in _TRY_AGAIN:
        return _BrokenOffError(f"HTTP {error.code} {error.reason}")
    return DownloadError(f"{remote.url}: HTTP {error.code} {error.reason}")


def _check_answer(remote: RemoteFile, response: HTTPResponse, file: IO[bytes]) -> None:
    """Check the size that the server names, and where in the file its bytes belong."""
    size = response.headers.get("Content-Length")
    if response.status == _PARTIAL_CONTENT:
        first, _, size = response.headers.get("Content-Range", "").rpartition("/")
        if not first.startswith(f"bytes {file.tell()}-"):
            msg = f"{remote.url}: answered with the wrong range ({first!r})"
            raise DownloadError(msg)
    elif file.tell():  # all of it, though only the rest was asked for
        _empty(file)
    if size not in (None, "*", str(remote.size_bytes)):
        msg = f"{remote.url}: holds {size} bytes, must be {remote.size_bytes}: another file"
        raise DownloadError(msg)


def _empty(file: IO[bytes]) -> None:
    file.truncate(0)
    file.seek(0)  # truncating does not move the position


def _read(response: HTTPResponse, most: int = _CHUNK_BYTES) -> bytes:
    try:
        return response.read(most)
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from error


def _check_content(remote: RemoteFile, partial: Path) -> None:
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != remote.md5:
        partial.unlink()
        msg = f"{remote.url}: MD5 is {found}, must be {remote.md5}: damaged, and removed"
        raise DownloadError(msg)
