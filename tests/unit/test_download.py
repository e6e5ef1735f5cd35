"""The downloader against a local HTTP server that behaves as badly as it is told."""

from __future__ import annotations

import fcntl
import hashlib
from typing import IO, TYPE_CHECKING

import pytest
from support.httpserver import Server, serving

from fastbench import download as download_module
from fastbench.datasets import fetch
from fastbench.download import ATTEMPTS, RemoteFile, download
from fastbench.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server on a free port of loopback that has CONTENT."""
    with serving(monkeypatch) as running:
        running.content = CONTENT
        yield running


def remote(server: Server, name: str = "photos.zip") -> RemoteFile:
    """Describe CONTENT, whatever is really served."""
    url = f"{server.url}/zips/{name}"
    return RemoteFile(url, len(CONTENT), hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())


@pytest.fixture
def waits() -> list[float]:
    """Collect the pauses that a download makes, none of which takes time."""
    return []


def test_whole_at_once(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """An undisturbed download is one request, and what it leaves is the file alone."""
    seen: list[tuple[int, int]] = []
    path = download(
        remote(server),
        tmp_path / "new" / "folder",
        lambda done, total: seen.append((done, total)),
        waits.append,
    )

    assert path == tmp_path / "new" / "folder" / "photos.zip"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["photos.zip"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert (server.ranges, waits) == ([None], [])


def test_not_again(server: Server, tmp_path: Path) -> None:
    """What is there is not downloaded again."""
    download(remote(server), tmp_path)
    download(remote(server), tmp_path)

    assert len(server.ranges) == 1


def test_goes_on_after_each_break(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """After a break only the rest is asked for; progress makes patience begin anew."""
    server.faults = [("break", 1000), ("break", 5000), ("drop", 0), ("status", 503)]
    path = download(remote(server), tmp_path, wait=waits.append)

    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=6000-", "bytes=6000-", "bytes=6000-"]
    assert waits == [1, 1, 2, 4]


def test_goes_on_in_a_later_process(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """What an earlier run received is not asked for again."""
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:70_000])
    path = download(remote(server), tmp_path, wait=waits.append)

    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=70000-"]


def test_server_without_ranges(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """A server that sends everything again is taken at its word."""
    server.faults = [("break", 1000), ("ignore range", 0)]
    path = download(remote(server), tmp_path, wait=waits.append)

    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "asked"),
    [(("status", 416), ["bytes=1500-", None]), (("ignore range", 0), ["bytes=1500-"])],
)
def test_from_the_start_again(
    server: Server,
    tmp_path: Path,
    waits: list[float],
    fault: tuple[str, int],
    asked: list[str | None],
) -> None:
    """A server that cannot give the rest is asked for all of it, which replaces the leftover."""
    server.content = CONTENT[:5000]
    md5 = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    (tmp_path / "f.part").write_bytes(b"old" * 500)
    server.faults = [fault]
    path = download(RemoteFile(f"{server.url}/f", 5000, md5), tmp_path, wait=waits.append)

    assert path.read_bytes() == server.content
    assert server.ranges == asked


def test_leftover_longer_than_what_is_served(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    """Where the file became shorter than the leftover, the second answer says that at once."""
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:70_000])
    server.content = CONTENT[:1000]
    with pytest.raises(DownloadError, match="holds 1000 bytes, must be 1048576"):
        download(remote(server), tmp_path, wait=waits.append)

    assert server.ranges == ["bytes=70000-", None]


def test_goes_on_after_another_process(
    server: Server, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process received until it gave the file free is not asked for again."""
    part, lock = tmp_path / "photos.zip.part", fcntl.flock

    def late(file: IO[bytes], operation: int) -> None:
        part.write_bytes(CONTENT[:70_000])
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    path = download(remote(server), tmp_path, wait=waits.append)

    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=70000-"]


def test_no_length_named(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """A server that names no size is judged by what it sends."""
    server.faults = [("no length", 0)]

    assert download(remote(server), tmp_path, wait=waits.append).read_bytes() == CONTENT


def test_gives_up_and_keeps(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """Without progress it gives up after some attempts, ever further apart, and keeps the rest."""
    server.faults = [("break", 1000)] + [("status", 503)] * ATTEMPTS
    with pytest.raises(DownloadError, match=r"given up after 6 attempts \(HTTP 503.*byte 1000"):
        download(remote(server), tmp_path, wait=waits.append)

    assert waits == [1, 2, 4, 8, 16]
    assert (tmp_path / "photos.zip.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "photos.zip").exists()


def test_nobody_listens(tmp_path: Path, waits: list[float]) -> None:
    """A server that is not there is one clear line."""
    server = Server()
    file = remote(server)
    server.server_close()
    with pytest.raises(DownloadError, match=r"given up after 6 attempts .*refused"):
        download(file, tmp_path, wait=waits.append)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_not_there(server: Server, tmp_path: Path, waits: list[float], status: int) -> None:
    """A file that the server does not have is not asked for again."""
    server.faults = [("status", status)]
    with pytest.raises(DownloadError, match=f"HTTP {status}"):
        download(remote(server), tmp_path, wait=waits.append)
    assert waits == []


@pytest.mark.parametrize("change", [b"", CONTENT + b"x", CONTENT[:-1]])
def test_another_size(server: Server, tmp_path: Path, waits: list[float], change: bytes) -> None:
    """A file of another size than published is refused before it is received."""
    server.content = change or b"short"
    with pytest.raises(DownloadError, match=f"holds {len(server.content)} bytes, must be 1048576"):
        download(remote(server), tmp_path, wait=waits.append)
    assert not (tmp_path / "photos.zip").exists()


def test_more_than_published(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """A server that names no size and sends too much is stopped."""
    server.content = CONTENT + b"more"
    server.faults = [("no length", 0)]
    with pytest.raises(DownloadError, match="sends more than"):
        download(remote(server), tmp_path, wait=waits.append)


def test_wrong_range(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """Bytes of another place than asked for are not put into the file."""
    server.faults = [("break", 1000), ("wrong range", 0)]
    with pytest.raises(DownloadError, match="wrong range"):
        download(remote(server), tmp_path, wait=waits.append)


def test_damaged_content(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """Content that differs in a byte is found by its MD5 and removed."""
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match="MD5"):
        download(remote(server), tmp_path, wait=waits.append)
    assert list(tmp_path.iterdir()) == []


def test_part_longer_than_the_file(server: Server, tmp_path: Path, waits: list[float]) -> None:
    """A leftover that is longer than the file is not passed off as the file."""
    (tmp_path / "photos.zip.part").write_bytes(CONTENT + b"x")
    with pytest.raises(DownloadError, match="MD5"):
        download(remote(server), tmp_path, wait=waits.append)
    assert download(remote(server), tmp_path).read_bytes() == CONTENT


def test_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little disk space is said before the download begins."""

    class Full:
        f_bavail = 1
        f_frsize = 4096

    monkeypatch.setattr(download_module.os, "statvfs", lambda _: Full)
    with pytest.raises(DownloadError, match="not enough disk space"):
        download(remote(server), tmp_path)
    assert server.ranges == []


def test_published_facts() -> None:
    """COCO's archive is described as its publisher does."""
    coco = fetch.ARCHIVES["coco-val2017"]

    assert coco.url == "http://images.cocodataset.org/zips/val2017.zip"
    assert coco.size_bytes == 815_585_330
    assert coco.file_name == "val2017.zip"
