"""Where image files come from: a folder, or a zip that is read in place and never unpacked."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Protocol

from fastbench.datasets.images import BadImageError
from fastbench.errors import DatasetError, NoDatasetError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")

#: No image file may be larger: a zip can claim that a few bytes unpack to any length.
MAX_FILE_BYTES = 64 << 20
MAX_NAME_CHARACTERS = 1024

_ENCRYPTED = 0x1
_READ_ERRORS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


class ImageSource(Protocol):
    """A set of image files. Nothing in it is ever written."""

    kind: str
    path: Path

    def names(self) -> list[str]:
        """Names of all image files, sorted."""

    def stamp(self, name: str) -> tuple[int, int]:
        """Something that changes when the file does: (bytes, time of change in ns)."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file. Raises :class:`BadImageError` where that fails."""

    def read(self, name: str) -> bytes:
        """Read one file whole. Raises :class:`BadImageError` where that fails."""


def open_source(path: Path) -> ImageSource:
    """Open a folder or a zip of images.

    Raises :class:`DatasetError` where it is neither, or holds no image.
    """
    if path.is_dir():
        source: ImageSource = FolderSource(path)
    elif path.is_file():
        source = ZipSource(path)
    else:
        msg = f"{path}: no such folder or zip of images"
        raise NoDatasetError(msg)
    if not source.names():
        msg = f"{path}: no image in it (looked for {', '.join(SUFFIXES)})"
        raise DatasetError(msg)
    return source


class FolderSource:
    """The image files that lie directly in a folder."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        """List the folder."""
        self.path = path
        try:
            with os.scandir(path) as entries:
                self._names = sorted(e.name for e in entries if _is_image(e.name) and e.is_file())
        except OSError as error:
            msg = f"{path}: cannot be listed: {error.strerror}"
            raise DatasetError(msg) from error
        for name in self._names:
            _check_name(path, name)

    def names(self) -> list[str]:
        """Names of all image files, sorted."""
        return self._names

    def stamp(self, name: str) -> tuple[int, int]:
        """Size in bytes and time of change in ns; zeros where it cannot be told."""
        try:
            status = (self.path / name).stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns

    def open(self, name: str) -> IO[bytes]:
        """Open one file."""
        try:
            return (self.path / name).open("rb")
        except OSError as error:
            raise BadImageError(error.strerror or "cannot be opened") from error

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        try:
            with (self.path / name).open("rb", buffering=0) as file:
                _check_length(os.fstat(file.fileno()).st_size)
                return file.readall()
        except OSError as error:
            raise BadImageError(error.strerror or "cannot be read") from error


class ZipSource:
    """The image files of a zip, at any depth, by their whole names.

    Members are read one at a time, up to a limit, and never written to disk: their names, links
    and claimed sizes can do no harm.
    """

    kind = "zip"

    def __init__(self, path: Path) -> None:
        """Read the directory of the zip."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self._stamp = path.stat().st_mtime_ns
        except (*_READ_ERRORS, LookupError) as error:
            msg = f"{path}: not a readable zip file ({error})"
            raise DatasetError(msg) from error
        self._members = {m.filename: m for m in self._zip.infolist() if _is_usable(m)}

    def names(self) -> list[str]:
        """Names of all image files, sorted."""
        return sorted(self._members)

    def stamp(self, name: str) -> tuple[int, int]:
        """Size of the member in bytes and time of change of the zip in ns."""
        return self._members[name].file_size, self._stamp

    def open(self, name: str) -> IO[bytes]:
        """Open one member."""
        member = self._members[name]
        if member.flag_bits & _ENCRYPTED:
            msg = "encrypted"
            raise BadImageError(msg)
        try:
            return self._zip.open(member)
        except _READ_ERRORS as error:
            raise BadImageError(str(error)) from error

    def read(self, name: str) -> bytes:
        """Read one member whole, checking its CRC."""
        try:
            _check_length(self._members[name].file_size)
            with self.open(name) as file:
                data = file.read(MAX_FILE_BYTES + 1)  # whatever it claims, no more than that
        except _READ_ERRORS as error:
            raise BadImageError(str(error)) from error
        _check_length(len(data))
        return data


def _is_image(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.lower().endswith(SUFFIXES) and not base.startswith(".")


def _check_name(path: Path, name: str) -> None:
    """Refuse what no manifest can name."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        msg = f"{path}: the file name {name!r} is not UTF-8; rename the file"
        raise DatasetError(msg) from error


def _is_usable(member: zipfile.ZipInfo) -> bool:
    mode = member.external_attr >> 16
    return (
        _is_image(member.filename)
        and len(member.filename) <= MAX_NAME_CHARACTERS
        and not member.is_dir()
        and not stat.S_ISLNK(mode)
    )


def _check_length(length: int) -> None:
    if length > MAX_FILE_BYTES:
        msg = f"larger than {MAX_FILE_BYTES >> 20} MiB"
        raise BadImageError(msg)
