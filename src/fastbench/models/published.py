"""Models with trained weights, fetched once from where they are published and kept in the cache.

All are MobileNet V1 for ImageNet on zenodo, as MLPerf uses it: record 2269307 (TensorFlow and
TensorFlow Lite), 3157894 and 4735651 (ONNX, opsets 8 and 11). Zenodo's interface gives the size
and the MD5 of each file of a record; the SHA-256 of what was fetched is kept beside it.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from fastbench.cache import cache_folder
from fastbench.download import RemoteFile, download, read_small
from fastbench.errors import ModelError, NoModelError
from fastbench.models.files import write_atomically
from fastbench.models.inputs import random_inputs
from fastbench.models.loading import load_model
from fastbench.models.onnx_session import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastbench.models.base import Model

ZENODO = "https://zenodo.org/api"
LARGEST_BYTES = 4 << 30  # of a member of an archive
_BLOCK_BYTES = 1 << 20
_MD5 = re.compile(r"md5:([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a model is: the record, its file, and the member where that is an archive."""

    record: int
    file: str
    backend: str
    member: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """Of the model file."""
        return "." + (self.member or self.file).rpartition(".")[2]


PUBLISHED = {
    "mobilenet_v1_1.0_224_tf": Publication(
        2269307,
        "mobilenet_v1_1.0_224.tgz",
        "TF",
        member="mobilenet_v1_1.0_224_frozen.pb",
        inputs=("input",),
        outputs=("MobilenetV1/Predictions/Reshape_1",),
    ),
    "mobilenet_v1_1.0_224_tflite": Publication(
        2269307, "mobilenet_v1_1.0_224.tgz", "TFLITE", member="mobilenet_v1_1.0_224.tflite"
    ),
    "mobilenet_v1_1.0_224_opset8": Publication(3157894, "mobilenet_v1_1.0_224.onnx", "ONNX"),
    "mobilenet_v1_1.0_224_opset11": Publication(4735651, "mobilenet_v1_1.0_224.onnx", "ONNX"),
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept beside a fetched model; ``md5`` and ``size_bytes``: of the published file."""

    url: str
    md5: str
    size_bytes: int
    sha256: str  # of the model file
    checked: str
    fetched_at: str  # ISO 8601, UTC


def fetch_model(
    name: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    api: str = ZENODO,
    wait: Callable[[float], None] | None = None,
) -> tuple[Model, Facts]:
    """Return a published model, downloaded and checked where it is not in the cache yet.

    ``progress`` is called with (bytes done, bytes in all); ``wait`` pauses for seconds.
    Raises :class:`ModelError` for an unknown name, or a file that is not such a model;
    :class:`DownloadError` where it cannot be had.
    """
    if name not in PUBLISHED:
        msg = f"no published model {name!r}: there are {', '.join(PUBLISHED)}"
        raise NoModelError(msg)
    publication = PUBLISHED[name]
    folder = cache_folder() / "models" / "published"
    path = folder / f"{name}{publication.suffix}"
    known = _kept(path)
    if known is not None:
        return _load(path, publication), known
    remote = _find(publication, api, **({} if wait is None else {"wait": wait}))
    received = download(remote, folder, progress, **({} if wait is None else {"wait": wait}))
    model, checked = _taken(received, path, publication)
    facts = Facts(
        url=remote.url,
        md5=remote.md5,
        size_bytes=remote.size_bytes,
        sha256=model.sha256,
        checked=checked,
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _write(_facts_path(path), iter([msgspec.json.encode(facts)]))
    return model, facts


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _kept(path: Path) -> Facts | None:
    """Return what is known of a model that is still as it was fetched; None = fetch it."""
    try:
        facts = msgspec.json.decode(_facts_path(path).read_bytes(), type=Facts)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return facts if found == facts.sha256 else None


def _find(publication: Publication, api: str, **options: Any) -> RemoteFile:
    """Ask the record for the file's address, size and MD5."""
    url = f"{api}/records/{publication.record}"
    content = read_small(url, **options)
    try:
        return _file_in(content, publication)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, StopIteration) as error:
        msg = f"{url}: does not describe {publication.file} as zenodo's records do"
        raise ModelError(msg) from error


def _file_in(content: bytes, publication: Publication) -> RemoteFile:
    """Return the file that the record names; any of many errors where it does not."""
    files = msgspec.json.decode(content)["files"]
    entry = next(f for f in files if f["key"] == publication.file)
    size, md5 = int(entry["size"]), _MD5.fullmatch(entry["checksum"])
    link = str(entry["links"]["self"])
    if md5 is None or size <= 0 or urlsplit(link).scheme not in {"http", "https"}:
        raise ValueError(entry)
    return RemoteFile(link, size, md5[1], f"{publication.record}-{publication.file}")


def _taken(received: Path, path: Path, publication: Publication) -> tuple[Model, str]:
    """Make the downloaded file the model at ``path``, load it and run it once.

    Raises :class:`ModelError` where it is no such model; then it is not kept.
    """
    if publication.member:
        _write(path, _member(received, publication.member))
    else:
        received.replace(path)
    try:
        model = _load(path, publication)
        return model, _check(model)
    except ModelError:
        path.unlink(missing_ok=True)
        raise


def _load(path: Path, publication: Publication) -> Model:
    return load_model(str(path), publication.backend, publication.inputs, publication.outputs)


def _check(model: Model) -> str:
    if model.backend != "ONNX":
        return f"the file is whole and as published; onnxruntime cannot run {model.backend}"
    answers = Oracle(model).run(random_inputs(model))
    if not all(np.isfinite(answer).all() for answer in answers):
        msg = f"model {model.path}: answers with numbers that are not finite"
        raise ModelError(msg)
    return "run once by onnxruntime, all its answers are finite"


def _member(archive: Path, name: str) -> Iterator[bytes]:
    """Yield the content of the file called ``name`` in an archive; nothing else is unpacked."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            found = next((m for m in tar if m.isfile() and m.name.rpartition("/")[2] == name), None)
            file = tar.extractfile(found) if found and found.size <= LARGEST_BYTES else None
            if file is None:
                msg = f"{archive}: holds no file {name}"
                raise ModelError(msg)
            while block := file.read(_BLOCK_BYTES):
                yield block
    except (tarfile.TarError, EOFError, zlib.error) as error:
        msg = f"{archive}: is not a whole archive: {error}"
        raise ModelError(msg) from error


def _write(path: Path, blocks: Iterator[bytes]) -> None:
    try:
        write_atomically(path, blocks)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ModelError(msg) from error
