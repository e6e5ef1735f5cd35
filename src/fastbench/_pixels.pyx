"""The door to csrc/pixels: owns nothing, checks the sizes, converts without the GIL."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t


cdef extern from "pixels.h" nogil:
    ctypedef struct fb_pixels:
        const uint8_t *first
        size_t row_bytes
        size_t pixel_bytes
        size_t height
        size_t width

    ctypedef struct fb_pixels_table:
        pass

    void fb_pixels_to_nhwc(const fb_pixels *pixels, const fb_pixels_table *table, float *out)
    void fb_pixels_to_nchw(const fb_pixels *pixels, const fb_pixels_table *table, float *out)


def to_float(
    const uint8_t[::1] pixels not None,
    size_t height,
    size_t width,
    const float[:, ::1] table not None,
    float[::1] out not None,
    bint planar=False,
):
    """Convert height x width pixels of 3 or 4 bytes each; the stub says more."""
    cdef size_t count = height * width
    cdef size_t pixel_bytes = pixels.shape[0] // count if count else 0
    if pixel_bytes not in (3, 4) or <size_t>pixels.shape[0] != count * pixel_bytes:
        raise ValueError(f"{pixels.shape[0]} bytes are not {height} x {width} x 3 or 4 pixels")
    if table.shape[0] != 3 or table.shape[1] != 256:
        raise ValueError(f"table is {table.shape[0]} x {table.shape[1]}, not 3 x 256")
    if <size_t>out.shape[0] != 3 * count:
        raise ValueError(f"out holds {out.shape[0]} floats, not {3 * count}")

    cdef fb_pixels source
    source.first = &pixels[0]
    source.row_bytes = width * pixel_bytes
    source.pixel_bytes = pixel_bytes
    source.height = height
    source.width = width
    cdef const fb_pixels_table *levels = <const fb_pixels_table *>&table[0, 0]
    cdef float *first = &out[0]
    with nogil:
        if planar:
            fb_pixels_to_nchw(&source, levels, first)
        else:
            fb_pixels_to_nhwc(&source, levels, first)
