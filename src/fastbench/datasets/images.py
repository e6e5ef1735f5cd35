"""One image file to an upright RGB picture of the right size, and a crop of it to float32."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zipfile
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from fastbench._pixels import to_float
from fastbench.datasets.crops import CROP, resized
from fastbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from numpy.typing import NDArray

FILTERS = {
    "hamming": Image.Resampling.HAMMING,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
NORMALIZATIONS = ("unit", "signed", "imagenet")
LAYOUTS = ("nhwc", "nchw")

#: No image may be larger, before or after resizing: a small file can claim a huge picture.
MAX_PIXELS = 80_000_000

FLOATS = CROP * CROP * 3
ROW_BYTES = 4 * FLOATS

_FORMATS = ("JPEG", "PNG")
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)  # orientations that swap width and height
_MODES = ("RGB", "L", "CMYK", "YCbCr", "P", "1", "LA", "PA", "RGBA", "RGBX")
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class BadImageError(Exception):
    """An image cannot be used; the message says why, in a few words."""


def displayed_size(file: IO[bytes]) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright image, from its head alone.

    Raises :class:`BadImageError` where it is not a JPEG or PNG of a usable size and mode.
    """
    with _decoding(), Image.open(file, formats=_FORMATS) as image:
        return _checked_size(image)


def decode(data: bytes) -> Image.Image:
    """Decode an image file to upright RGB.

    Raises :class:`BadImageError` where it is corrupt, truncated or not usable.
    """
    with _decoding():
        image: Image.Image = Image.open(BytesIO(data), formats=_FORMATS)
        _checked_size(image)
        turn = _UPRIGHT.get(_orientation(image))
        image.load()
        if image.mode != "RGB":
            image = image.convert("RGB")
        return image if turn is None else image.transpose(turn)


def resize(image: Image.Image, filter_name: str) -> Image.Image:
    """Resize so that the smaller side is SIDE."""
    return image.resize(resized(*image.size), FILTERS[filter_name])


def level_table(normalize: str) -> NDArray[np.float32]:
    """Return the float32 of each 8-bit level of each channel, shape (3, 256).

    ``unit``: level / 255, in [0, 1]; ``signed``: in [-1, 1]; ``imagenet``: unit, less ImageNet's
    mean, divided by its standard deviation. Computed in float64 and rounded once.
    """
    unit = np.arange(256) / 255.0
    mean, deviation = {
        "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "signed": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }[normalize]
    return np.stack(
        [((unit - m) / d).astype(np.float32) for m, d in zip(mean, deviation, strict=True)]
    )


class CropConverter:
    """Turns crops into tensors, all in one buffer that is used again and again."""

    def __init__(self, normalize: str, layout: str) -> None:
        """Prepare the table of ``normalize`` and the order of axes of ``layout``."""
        self._table = level_table(normalize)
        self._planar = layout == "nchw"
        self._floats = np.empty(FLOATS, np.float32)
        #: The bytes of the last tensor, ROW_BYTES of them.
        self.data = self._floats.view(np.uint8).data

    def convert(self, image: Image.Image, x: int, y: int) -> None:
        """Fill ``data`` with the CROP x CROP square whose corner is (x, y)."""
        crop = image.crop((x, y, x + CROP, y + CROP))
        # RGBX is how the picture lies in memory: taking it as it is costs a third of packing RGB.
        pixels = crop.tobytes("raw", "RGBX")
        to_float(pixels, CROP, CROP, self._table, self._floats, self._planar)


def check_choice(option: Literal["filter", "layout", "normalize"], value: str) -> None:
    """Raise :class:`UsageError` unless ``value`` is one that ``option`` takes."""
    choices = {"filter": tuple(FILTERS), "layout": LAYOUTS, "normalize": NORMALIZATIONS}[option]
    if value not in choices:
        msg = f"--{option} {value!r}: must be one of {', '.join(choices)}"
        raise UsageError(msg)


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever a decoder raises for bad bytes into BadImageError; keep its warnings quiet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except _DECODER_ERRORS as error:
        raise BadImageError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a JPEG or PNG image"
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


def _checked_size(image: Image.Image) -> tuple[int, int]:
    if image.mode not in _MODES:
        msg = f"pixels of mode {image.mode} are not supported"
        raise BadImageError(msg)
    width, height = image.size
    if _orientation(image) in _LYING:
        width, height = height, width
    scaled_width, scaled_height = resized(width, height)
    if max(width * height, scaled_width * scaled_height) > MAX_PIXELS:
        msg = f"{width} x {height} pixels are too many, before or after resizing"
        raise BadImageError(msg)
    return width, height


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none or it makes no sense."""
    if "exif" not in image.info:  # saves decoding a whole PNG in search of one behind the pixels
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1
