/* Turns 8-bit pixels into a float32 tensor by a look-up table.
 *
 * Pure functions over the caller's memory; any thread. The table holds the value of each of the
 * 256 levels of each of the three channels, so every normalisation costs the same and is exact to
 * the last bit of what the caller computed. Cannot fail. */
#ifndef FB_PIXELS_H
#define FB_PIXELS_H

#include "base.h"

#define FB_PIXELS_CHANNELS 3
#define FB_PIXELS_LEVELS 256

/* A rectangle of 8-bit pixels: R, G, B in the first three bytes of each. */
typedef struct fb_pixels {
    const uint8_t *first;
    size_t row_bytes;   /* from one row to the next, >= width * pixel_bytes */
    size_t pixel_bytes; /* from one pixel to the next, >= 3 */
    size_t height;
    size_t width;
} fb_pixels;

/* What each level of each channel becomes. */
typedef struct fb_pixels_table {
    float value[FB_PIXELS_CHANNELS][FB_PIXELS_LEVELS];
} fb_pixels_table;

/* Writes height x width x 3 floats, channels last. */
void fb_pixels_to_nhwc(const fb_pixels *pixels, const fb_pixels_table *table, float *out);

/* Writes 3 x height x width floats, channels first. */
void fb_pixels_to_nchw(const fb_pixels *pixels, const fb_pixels_table *table, float *out);

#endif
