"""Synthetic images and the default sample made of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fastbench.datasets import procedural, sample
from fastbench.datasets.verify import verify
from fastbench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, and a sample that is quick to make."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sample, "SAMPLE_IMAGES", 4)
    return tmp_path


def test_pictures_are_deterministic_and_distinct() -> None:
    """The same number gives the same picture, another number another one."""
    one, again, other = (np.asarray(procedural.make_image(i)) for i in (4, 4, 3))

    np.testing.assert_array_equal(one, again)
    assert one.tobytes() != other.tobytes()


def test_pixels_do_not_change_between_versions() -> None:
    """A known picture keeps its mean colour: a change of it would change every sample."""
    mean = np.asarray(procedural.make_image(0)).reshape(-1, 3).mean(axis=0)

    np.testing.assert_allclose([185.85, 80.27, 168.08], mean, atol=0.5)


def test_pictures_are_like_photographs() -> None:
    """They have COCO's sizes, use most of the levels and cost a decoder what photographs do."""
    for index in range(6):
        picture = procedural.make_image(index)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=95)

        assert picture.size == procedural.SIZES[index]
        assert len(np.unique(np.asarray(picture))) > 200
        assert 60_000 < buffer.tell() < 300_000


def test_files(tmp_path: Path) -> None:
    """Files are JPEGs that say in their name what they are, the same bytes each time."""
    procedural.write_images(tmp_path / "a", 5)
    procedural.write_images(tmp_path / "b", 5)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())

    assert names == [f"synthetic-{i:06d}.jpg" for i in range(5)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        with Image.open(tmp_path / "a" / name) as image:
            assert image.format == "JPEG"


def test_made_once(empty_cache: Path) -> None:
    """The default sample is made in the cache folder, marked synthetic, and used again."""
    first = sample.default_sample()
    made = first.data_path.stat().st_mtime_ns
    again = sample.default_sample()

    assert first.path.parent == empty_cache / "fastbench"
    assert (first.rows, first.synthetic) == (4, True)
    assert again == first
    assert again.data_path.stat().st_mtime_ns == made
    assert verify(first.path).differences == ()


def test_damaged_sample_is_made_again() -> None:
    """A damaged sample mends itself."""
    dataset = sample.default_sample()
    expected = dataset.sha256
    with dataset.data_path.open("r+b") as file:
        file.truncate(10_000)

    assert sample.default_sample().sha256 == expected


def test_unusable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that cannot be is named, with the remedy."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(DatasetError, match="set XDG_CACHE_HOME"):
        sample.default_sample()
