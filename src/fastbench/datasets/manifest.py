"""The manifest: what a dataset was made from and how, down to each source file and tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "manifest.json"
FORMAT = "fastbench-dataset"
VERSION = 1

_Positive = Annotated[int, Meta(ge=1)]
_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every record: immutable, keyword-only."""


class Source(_Data, frozen=True, kw_only=True):
    """Where the samples came from: ``folder``, ``zip``, ``sample`` (synthetic) or ``aibench``."""

    kind: str
    path: str


class Settings(_Data, frozen=True, kw_only=True):
    """How images became tensors; the same settings and sources give the same bytes.

    ``side``: pixels of the smaller side after resizing; ``crop``: side of the square cut out.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    filter: Annotated[str, Meta(pattern="^(hamming|box|bilinear|bicubic|lanczos|nearest)$")]
    layout: Annotated[str, Meta(pattern="^(nhwc|nchw)$")]
    normalize: Annotated[str, Meta(pattern="^(unit|signed|imagenet)$")]
    limit: int | None
    reuse: _Positive
    side: int
    crop: int


class Array(_Data, frozen=True, kw_only=True):
    """The array file: its name in the folder, type, shape, and where row 0 begins, in bytes."""

    file: Annotated[str, Meta(pattern="^[^/]+$")]
    dtype: Annotated[str, Meta(pattern="^float32$")]
    shape: Annotated[list[_Positive], Meta(min_length=2)]
    layout: Annotated[str, Meta(pattern="^(nhwc|nchw)$")]
    offset: int


class Image(_Data, frozen=True, kw_only=True):
    """One source image: its name, its bytes' hash, its size in pixels when upright."""

    name: str
    sha256: _Sha256
    width: _Positive
    height: _Positive


class Tensor(_Data, frozen=True, kw_only=True):
    """One row: the hash of its bytes, and the image and corner of the crop it came from."""

    sha256: _Sha256
    image: str | None = None
    x: int | None = None
    y: int | None = None


class Skipped(_Data, frozen=True, kw_only=True):
    """One image that could not be used, and why; its size where the head could be read.

    One with a size took part in drawing the crop corners, one without did not.
    """

    name: str
    reason: str
    width: _Positive | None = None
    height: _Positive | None = None


class Manifest(_Data, frozen=True, kw_only=True):
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


def write(manifest: Manifest, path: Path) -> None:
    """Write the manifest as readable JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def read(path: Path) -> Manifest:
    """Read a manifest and check its structure.

    Raises :class:`DatasetError` where it is missing, not JSON, or not of this format.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        msg = f"{path}: no manifest here, so this is not a whole dataset; make it again"
        raise DatasetError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise DatasetError(msg) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not a valid manifest ({error}); make the dataset again"
        raise DatasetError(msg) from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        msg = (
            f"{path}: format {manifest.format!r} version {manifest.version}, this fastbench "
            f"reads {FORMAT!r} version {VERSION}; make the dataset again"
        )
        raise DatasetError(msg)
    return manifest
