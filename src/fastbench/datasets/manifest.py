"""The manifest: what a dataset was made from and how, down to each source file and tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta

from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "manifest.json"
FORMAT = "fastbench-dataset"
FRAUD_FORMAT = "fastbench-fraud-dataset"
VERSION = 1

#: By format: whose dataset it is.
KINDS = {FORMAT: "vision", FRAUD_FORMAT: "fraud"}

Positive = Annotated[int, Meta(ge=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, Meta(pattern="^[^/]+$")]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every record: immutable, keyword-only."""


class Source(Record, frozen=True, kw_only=True):
    """Where the samples came from.

    ``folder``, ``zip`` of images, ``csv``, ``sample`` (synthetic), ``aibench`` or ``npy``.
    """

    kind: str
    path: str


class Settings(Record, frozen=True, kw_only=True):
    """How images became tensors; the same settings and sources give the same bytes.

    ``side``: pixels of the smaller side after resizing; ``crop``: side of the square cut out.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    filter: Annotated[str, Meta(pattern="^(hamming|box|bilinear|bicubic|lanczos|nearest)$")]
    layout: Annotated[str, Meta(pattern="^(nhwc|nchw)$")]
    normalize: Annotated[str, Meta(pattern="^(unit|signed|imagenet)$")]
    limit: int | None
    reuse: Positive
    side: int
    crop: int


class Array(Record, frozen=True, kw_only=True):
    """The array file: its name in the folder, type, shape, and where row 0 begins, in bytes.

    ``layout``: of images; ``other`` = of what its rows are nothing is known.
    """

    file: FileName
    dtype: Annotated[str, Meta(pattern="^float32$")]
    shape: Annotated[list[Positive], Meta(min_length=2)]
    layout: Annotated[str, Meta(pattern="^(nhwc|nchw|other)$")]
    offset: int


class Image(Record, frozen=True, kw_only=True):
    """One source image: its name, its bytes' hash, its size in pixels when upright."""

    name: str
    sha256: Sha256
    width: Positive
    height: Positive


class Tensor(Record, frozen=True, kw_only=True):
    """One row: the hash of its bytes, and the image and corner of the crop it came from."""

    sha256: Sha256
    image: str | None = None
    x: int | None = None
    y: int | None = None


class Skipped(Record, frozen=True, kw_only=True):
    """One image that could not be used, and why; its size where the head could be read.

    One with a size took part in drawing the crop corners, one without did not.
    """

    name: str
    reason: str
    width: Positive | None = None
    height: Positive | None = None


class Manifest(Record, frozen=True, kw_only=True):
    """Everything that ``manifest.json`` holds; ``tensors`` is in row order."""

    format: str
    version: int
    fastbench_version: str
    synthetic: bool
    description: str
    source: Source
    settings: Settings | None  # None = imported: made by another program
    libraries: dict[str, str]
    array: Array
    images: list[Image]
    tensors: list[Tensor]
    skipped: list[Skipped] = []


class _Head(Record, frozen=True, kw_only=True):
    """What every manifest begins with."""

    format: str
    version: int


def write(manifest: msgspec.Struct, path: Path) -> None:
    """Write a manifest as readable JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def read(path: Path) -> Manifest:
    """Read the manifest of a vision dataset and check its structure.

    Raises :class:`DatasetError` where it is missing, not JSON, or not of this format.
    """
    return read_as(path, Manifest, FORMAT)


def read_as(path: Path, kind: type[_Struct], wanted: str) -> _Struct:
    """Read a manifest of the format ``wanted`` as ``kind``.

    Raises :class:`DatasetError` where it is missing, not JSON, or not of that format.
    """
    data = _read_bytes(path)
    head = _decode(path, data, _Head)
    if head.format != wanted and head.format in KINDS:
        msg = f"{path.parent}: is a {KINDS[head.format]} dataset, not a {KINDS[wanted]} one"
        raise DatasetError(msg)
    if head.format != wanted or head.version != VERSION:
        msg = (
            f"{path}: format {head.format!r} version {head.version}, this fastbench "
            f"reads {wanted!r} version {VERSION}; make the dataset again"
        )
        raise DatasetError(msg)
    return _decode(path, data, kind)


def kind_of(folder: Path) -> str:
    """Return ``vision`` or ``fraud``: whose dataset stands in a folder; vision if none does."""
    try:
        head = msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=_Head)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return KINDS[FORMAT]  # whoever opens it says what is wrong
    return KINDS.get(head.format, KINDS[FORMAT])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = f"{path}: no manifest here, so this is not a whole dataset; make it again"
        raise DatasetError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise DatasetError(msg) from error


def _decode(path: Path, data: bytes, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not a valid manifest ({error}); make the dataset again"
        raise DatasetError(msg) from error
