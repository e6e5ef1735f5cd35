/* The look-up conversion: every level, both orders of axes, strides, and nothing outside. */
#include "check.h"
#include "pixels.h"

#include <string.h>

enum { HEIGHT = 3, WIDTH = 5, GUARD = 4 };

static fb_pixels_table table;

static void fill_table(void)
{
    for (int channel = 0; channel < FB_PIXELS_CHANNELS; channel++) {
        for (int level = 0; level < FB_PIXELS_LEVELS; level++) {
            table.value[channel][level] = (float)(1000 * channel + level);
        }
    }
}

/* The byte that stands at (y, x, c), whatever the strides. */
static uint8_t level_at(size_t y, size_t x, size_t c)
{
    return (uint8_t)(17 * y + 5 * x + 90 * c);
}

static fb_pixels make_pixels(uint8_t *bytes, size_t len, size_t row_bytes, size_t pixel_bytes)
{
    memset(bytes, 0xEE, len);
    for (size_t y = 0; y < HEIGHT; y++) {
        for (size_t x = 0; x < WIDTH; x++) {
            for (size_t c = 0; c < 3; c++) {
                bytes[y * row_bytes + x * pixel_bytes + c] = level_at(y, x, c);
            }
        }
    }
    return (fb_pixels){bytes, row_bytes, pixel_bytes, HEIGHT, WIDTH};
}

static void check_both_orders(size_t row_bytes, size_t pixel_bytes)
{
    uint8_t bytes[256];
    float out[HEIGHT * WIDTH * 3 + GUARD];
    const fb_pixels pixels = make_pixels(bytes, sizeof(bytes), row_bytes, pixel_bytes);

    for (int planar = 0; planar < 2; planar++) {
        for (size_t i = 0; i < HEIGHT * WIDTH * 3 + GUARD; i++) {
            out[i] = -1.0F;
        }
        if (planar) {
            fb_pixels_to_nchw(&pixels, &table, out);
        } else {
            fb_pixels_to_nhwc(&pixels, &table, out);
        }
        for (size_t y = 0; y < HEIGHT; y++) {
            for (size_t x = 0; x < WIDTH; x++) {
                for (size_t c = 0; c < 3; c++) {
                    const size_t at =
                        planar ? (c * HEIGHT + y) * WIDTH + x : (y * WIDTH + x) * 3 + c;
                    CHECK(out[at] == table.value[c][level_at(y, x, c)]);
                }
            }
        }
        for (size_t i = 0; i < GUARD; i++) {
            CHECK(out[HEIGHT * WIDTH * 3 + i] == -1.0F);
        }
    }
}

static void test_packed_rgb(void)
{
    check_both_orders(WIDTH * 3, 3);
}

static void test_padded_pixels_and_rows(void)
{
    check_both_orders(WIDTH * 4, 4);
    check_both_orders(WIDTH * 3 + 7, 3);
    check_both_orders(WIDTH * 4 + 12, 4);
}

static void test_every_level_of_every_channel(void)
{
    uint8_t bytes[FB_PIXELS_LEVELS * 3];
    float out[FB_PIXELS_LEVELS * 3];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i / 3);
    }
    const fb_pixels row = {bytes, sizeof(bytes), 3, 1, FB_PIXELS_LEVELS};

    fb_pixels_to_nhwc(&row, &table, out);
    for (size_t i = 0; i < FB_PIXELS_LEVELS * 3; i++) {
        CHECK(out[i] == table.value[i % 3][i / 3]);
    }
    fb_pixels_to_nchw(&row, &table, out);
    for (size_t i = 0; i < FB_PIXELS_LEVELS * 3; i++) {
        CHECK(out[i] == table.value[i / FB_PIXELS_LEVELS][i % FB_PIXELS_LEVELS]);
    }
}

static void test_nothing_to_do(void)
{
    float out[1] = {-1.0F};
    const uint8_t byte = 0;
    const fb_pixels empty = {&byte, 0, 3, 0, 0};
    fb_pixels_to_nhwc(&empty, &table, out);
    fb_pixels_to_nchw(&empty, &table, out);
    CHECK(out[0] == -1.0F);
}

int main(void)
{
    fill_table();
    RUN(test_packed_rgb);
    RUN(test_padded_pixels_and_rows);
    RUN(test_every_level_of_every_channel);
    RUN(test_nothing_to_do);
    return check_result();
}
