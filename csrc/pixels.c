#include "pixels.h"

void fb_pixels_to_nhwc(const fb_pixels *pixels, const fb_pixels_table *table, float *out)
{
    for (size_t y = 0; y < pixels->height; y++) {
        const uint8_t *pixel = pixels->first + y * pixels->row_bytes;
        for (size_t x = 0; x < pixels->width; x++) {
            out[0] = table->value[0][pixel[0]];
            out[1] = table->value[1][pixel[1]];
            out[2] = table->value[2][pixel[2]];
            out += FB_PIXELS_CHANNELS;
            pixel += pixels->pixel_bytes;
        }
    }
}

/* One pass over the pixels with three outputs reads each cache line once. */
void fb_pixels_to_nchw(const fb_pixels *pixels, const fb_pixels_table *table, float *out)
{
    const size_t plane = pixels->height * pixels->width;
    for (size_t y = 0; y < pixels->height; y++) {
        const uint8_t *pixel = pixels->first + y * pixels->row_bytes;
        for (size_t x = 0; x < pixels->width; x++) {
            out[0] = table->value[0][pixel[0]];
            out[plane] = table->value[1][pixel[1]];
            out[2 * plane] = table->value[2][pixel[2]];
            out++;
            pixel += pixels->pixel_bytes;
        }
    }
}
