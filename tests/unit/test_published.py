"""Published models from a local server that answers as zenodo does, and misbehaves as told."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.httpserver import Server, serving

from fastbench.cache import cache_folder
from fastbench.errors import DownloadError, ModelError
from fastbench.models import mobilenet, tiny
from fastbench.models.published import PUBLISHED, fetch_model

if TYPE_CHECKING:
    from collections.abc import Iterator

OPSET8, TF, TFLITE = (f"mobilenet_v1_1.0_224_{kind}" for kind in ("opset8", "tf", "tflite"))
CONTENT = mobilenet.build(layout="nchw").SerializeToString()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Run a server on loopback; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(monkeypatch) as running:
        publish(running, OPSET8, CONTENT)
        yield running


def publish(server: Server, name: str, content: bytes, **changes: Any) -> None:
    """Put a file into its record."""
    publication = PUBLISHED[name]
    path = f"/records/{publication.record}/files/{publication.file}/content"
    entry = {
        "key": publication.file,
        "size": len(content),
        "checksum": f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
        "links": {"self": server.url + path},
    }
    record = {"id": publication.record, "files": [{"key": "other.txt"}, entry | changes]}
    server.pages[f"/records/{publication.record}"] = json.dumps(record).encode()
    server.pages[path] = content


def no_wait(_: float) -> None:
    """Do not pause."""


def archive(**members: bytes) -> bytes:
    """Return a .tgz with traps around the members: links, folders and paths to elsewhere."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            trap = tarfile.TarInfo(f"links/{name}")
            trap.type, trap.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(trap)
            info = tarfile.TarInfo(f"../../{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            folder = tarfile.TarInfo(f"folder/{name}")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
    return out.getvalue()


def test_fetched_once(server: Server) -> None:
    """A model is downloaded, checked and described once; the second time nothing is asked for."""
    seen: list[tuple[int, int]] = []
    model, facts = fetch_model(
        OPSET8, lambda done, total: seen.append((done, total)), api=server.url
    )
    asked = len(server.ranges)
    again = fetch_model(OPSET8, api=server.url)

    assert model.path == cache_folder() / "models" / "published" / f"{OPSET8}.onnx"
    assert model.path.read_bytes() == CONTENT
    assert facts.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert facts.md5 == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert facts.checked == "run once by onnxruntime, all its answers are finite"
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert again == (model, facts)
    assert len(server.ranges) == asked == 2
    assert sorted(p.name for p in model.path.parent.iterdir()) == [
        *(f"{OPSET8}.onnx", f"{OPSET8}.onnx.json"),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", CONTENT[: len(CONTENT) // 2], tiny.identity().SerializeToString()],
    ids=["empty", "half", "another"],
)
def test_damaged_in_the_cache(server: Server, content: bytes) -> None:
    """A file that is no longer what was fetched is fetched again."""
    model, facts = fetch_model(OPSET8, api=server.url)
    model.path.write_bytes(content)

    assert fetch_model(OPSET8, api=server.url)[1].sha256 == facts.sha256
    assert model.path.read_bytes() == CONTENT


def test_goes_on_after_breaks(server: Server) -> None:
    """Both the record and the file survive a server that breaks off and is busy."""
    server.faults = [("drop", 0), ("status", 503), ("break", 30), ("", 0), ("break", 1_000_000)]
    model, _ = fetch_model(OPSET8, api=server.url, wait=no_wait)

    assert model.path.read_bytes() == CONTENT
    assert server.ranges == [None] * 5 + ["bytes=1000000-"]


@pytest.mark.parametrize("name", [TF, TFLITE])
def test_member_of_an_archive(server: Server, name: str, tmp_path: Path) -> None:
    """Only the file of that name is taken, wherever the archive says it belongs."""
    member = PUBLISHED[name].member
    content = b"\x00\x00\x00\x00TFL3 and so on" * 1000
    publish(server, name, archive(**{member: content}))
    outside = set(tmp_path.rglob("*"))
    model, facts = fetch_model(name, api=server.url)

    assert model.path.read_bytes() == content
    assert model.backend in facts.checked
    assert [spec.name for spec in model.outputs] == list(PUBLISHED[name].outputs)
    made = {p.relative_to(cache_folder()).as_posix() for p in set(tmp_path.rglob("*")) - outside}
    folder = "models/published"
    assert {p for p in made if "." in Path(p).name} == {
        f"{folder}/2269307-mobilenet_v1_1.0_224.tgz",
        *(f"{folder}/{model.path.name}", f"{folder}/{model.path.name}.json"),
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive(other=b"x"), "holds no file"),
        (b"no archive", "is not a whole archive|not a gzip file"),
        (gzip.compress(b"x" * 5000), "is not a whole archive"),
        (archive(**{PUBLISHED[TFLITE].member: b"y" * 9_000_000})[:5000], "is not a whole archive"),
        (archive(**{PUBLISHED[TFLITE].member: b"no model"}), "is not a TFLITE file"),
    ],
)
def test_wrong_archives(server: Server, content: bytes, words: str) -> None:
    """An archive that is none, cut, or without the model is one clear line and leaves no model."""
    publish(server, TFLITE, content)
    with pytest.raises(ModelError, match=words):
        fetch_model(TFLITE, api=server.url)

    left = [p.name for p in (cache_folder() / "models" / "published").iterdir()]
    assert [name for name in left if name.endswith((".tflite", ".json"))] == []


def test_not_a_model(server: Server) -> None:
    """A whole file that is no ONNX is refused and not kept."""
    publish(server, OPSET8, b"not a model")
    with pytest.raises(ModelError, match="not an ONNX file"):
        fetch_model(OPSET8, api=server.url)

    assert list((cache_folder() / "models" / "published").iterdir()) == []


def test_answers_that_are_not_finite(server: Server) -> None:
    """A model that computes nonsense is found by running it once."""
    model = tiny.identity()
    model.graph.node[0].op_type = "Log"
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    model.graph.node[0].input[0] = "negative"
    model.graph.node.add(op_type="Neg", input=["input"], output=["negative"])
    model.graph.node.reverse()
    publish(server, OPSET8, model.SerializeToString())
    with pytest.raises(ModelError, match="not finite"):
        fetch_model(OPSET8, api=server.url)


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": "sha1:00"},
        {"size": 0},
        {"size": None},
        {"links": {"self": "file:///etc/passwd"}},
        {"links": {}},
        {"key": "another"},
    ],
)
def test_wrong_records(server: Server, change: dict[str, Any]) -> None:
    """A record that does not describe the file is refused; other schemes are never opened."""
    publish(server, OPSET8, CONTENT, **change)
    with pytest.raises(ModelError, match=r"does not describe mobilenet_v1_1\.0_224\.onnx"):
        fetch_model(OPSET8, api=server.url)


def test_record_that_is_no_json(server: Server) -> None:
    """A page of a proxy in place of the record is refused."""
    server.pages["/records/3157894"] = b"<html>"
    with pytest.raises(ModelError, match="does not describe"):
        fetch_model(OPSET8, api=server.url)


def test_wrong_checksum(server: Server) -> None:
    """A file with another MD5 than the record's is removed."""
    publish(server, OPSET8, CONTENT, checksum="md5:" + "0" * 32)
    with pytest.raises(DownloadError, match="MD5"):
        fetch_model(OPSET8, api=server.url)


def test_not_there(server: Server) -> None:
    """A record that is gone is one clear line; an unknown name too."""
    server.pages.clear()
    with pytest.raises(DownloadError, match="records/3157894: HTTP 404"):
        fetch_model(OPSET8, api=server.url)
    with pytest.raises(ModelError, match="no published model 'x': there are mobilenet"):
        fetch_model("x")


def test_gives_up(server: Server) -> None:
    """A server that is always busy is given up after some attempts."""
    server.faults = [("status", 503)] * 10
    with pytest.raises(DownloadError, match="given up after 6 attempts"):
        fetch_model(OPSET8, api=server.url, wait=no_wait)


def test_record_without_end(server: Server) -> None:
    """A record that is larger than any is not read on and on."""
    server.pages["/records/3157894"] = b" " * 3_000_000
    with pytest.raises(DownloadError, match="more than"):
        fetch_model(OPSET8, api=server.url)
