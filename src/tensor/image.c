/* image.c: pictures in memory: new, converted, told by their first bytes, to and from floats. */
#include "tensor/image_codec.h"

#include <string.h>

#define FILE_MOST ((size_t)1 << 30)

/* ---- memory ---- */

fr_status fr_image_new(int width, int height, int channels, fr_image *out) {
    *out = (fr_image){0};
    if (width < 1 || height < 1 || width > FR_IMAGE_SIDE || height > FR_IMAGE_SIDE ||
        (uint64_t)width * (uint64_t)height > FR_IMAGE_PIXELS) {
        return fr_fail(FR_INVALID,
                       "a picture of %d x %d was asked for; sides go from 1 to %d, and "
                       "all pixels to %llu million",
                       width, height, FR_IMAGE_SIDE, (unsigned long long)(FR_IMAGE_PIXELS >> 20));
    }
    if (channels != 1 && channels != 3 && channels != 4) {
        return fr_fail(FR_INVALID, "a picture has 1, 3 or 4 channels, not %d", channels);
    }
    uint8_t *pixels = fr_alloc(FR_MEM_IMAGE, (size_t)width * (size_t)height * (size_t)channels);
    if (!pixels) return FR_NOMEM;
    *out = (fr_image){width, height, channels, pixels};
    return FR_OK;
}

void fr_image_free(fr_image *im) {
    fr_free(im->pixels);
    *im = (fr_image){0};
}

fr_status fr_image_check_claim(const char *name, uint64_t width, uint64_t height, size_t bytes,
                               uint64_t most_per_byte) {
    if (width < 1 || height < 1 || width > FR_IMAGE_SIDE || height > FR_IMAGE_SIDE ||
        width * height > FR_IMAGE_PIXELS) {
        return fr_fail(FR_FORMAT,
                       "%s claims to be %llu x %llu pixels, which is out of bounds (sides "
                       "1 to %d, %llu million in all)",
                       name, (unsigned long long)width, (unsigned long long)height, FR_IMAGE_SIDE,
                       (unsigned long long)(FR_IMAGE_PIXELS >> 20));
    }
    if (width * height / most_per_byte > bytes) {
        return fr_fail(FR_FORMAT,
                       "%s claims to be %llu x %llu pixels, more than its %zu bytes can "
                       "hold",
                       name, (unsigned long long)width, (unsigned long long)height, bytes);
    }
    return FR_OK;
}

/* ---- channels ---- */

static uint8_t over_white(uint8_t value, uint8_t alpha) {
    return (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

/* ITU-R 601 luma in 16-bit fixed point. */
static uint8_t luma(const uint8_t rgb[3]) {
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 32768u) >> 16);
}

static void convert_pixel(const uint8_t *in, int from, uint8_t *out, int to) {
    uint8_t rgb[3], alpha = 255;
    for (int c = 0; c < 3; c++) rgb[c] = in[from == 1 ? 0 : c];
    if (from == 4) alpha = in[3];
    if (to == 4) {
        memcpy(out, rgb, 3);
        out[3] = alpha;
        return;
    }
    for (int c = 0; c < 3; c++) rgb[c] = over_white(rgb[c], alpha);
    if (to == 3) {
        memcpy(out, rgb, 3);
    } else {
        out[0] = luma(rgb);
    }
}

/* Replaces the picture by one of so many channels. */
static fr_status convert(fr_image *im, int channels) {
    fr_image to;
    FR_TRY(fr_image_new(im->width, im->height, channels, &to));
    size_t pixels = (size_t)im->width * (size_t)im->height;
    for (size_t i = 0; i < pixels; i++) {
        convert_pixel(im->pixels + i * (size_t)im->channels, im->channels,
                      to.pixels + i * (size_t)channels, channels);
    }
    fr_image_free(im);
    *im = to;
    return FR_OK;
}

/* ---- reading ---- */

fr_status fr_image_decode(const uint8_t *data, size_t bytes, const char *name, int channels,
                          fr_image *out) {
    *out = (fr_image){0};
    if (channels != 0 && channels != 1 && channels != 3 && channels != 4) {
        return fr_fail(FR_INVALID, "a picture has 1, 3 or 4 channels, not %d", channels);
    }
    if (bytes >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0) {
        FR_TRY(fr_png_decode(data, bytes, name, out));
    } else if (bytes >= 3 && memcmp(data, "\xFF\xD8\xFF", 3) == 0) {
        FR_TRY(fr_jpeg_decode(data, bytes, name, out));
    } else {
        return fr_fail(FR_FORMAT, "%s is neither a PNG nor a JPEG picture", name);
    }
    fr_status status = FR_OK;
    if (channels && channels != out->channels) status = convert(out, channels);
    if (status != FR_OK) fr_image_free(out);
    return status;
}

fr_status fr_image_read(const char *path, int channels, fr_image *out) {
    *out = (fr_image){0};
    char *data;
    size_t bytes;
    FR_TRY(fr_read_file(path, FILE_MOST, &data, &bytes));
    fr_status status = fr_image_decode((const uint8_t *)data, bytes, path, channels, out);
    fr_free(data);
    return status;
}

/* ---- floats ---- */

static size_t value_count(const fr_image *im) {
    return (size_t)im->width * (size_t)im->height * (size_t)im->channels;
}

void fr_image_to_f32(const fr_image *im, float scale, float shift, float *out) {
    size_t n = value_count(im);
    for (size_t i = 0; i < n; i++) out[i] = scale * (float)im->pixels[i] + shift;
}

fr_status fr_image_from_f32(const float *in, int width, int height, int channels, float scale,
                            float shift, fr_image *out) {
    *out = (fr_image){0};
    if (!(scale != 0))
        return fr_fail(FR_INVALID, "values that are 0 * byte + shift tell no picture");
    FR_TRY(fr_image_new(width, height, channels, out));
    size_t n = value_count(out);
    for (size_t i = 0; i < n; i++) {
        float x = (in[i] - shift) / scale;
        x = x > 0 ? x : 0; /* also what is not a number */
        out->pixels[i] = (uint8_t)(x < 255 ? x + 0.5f : 255);
    }
    return FR_OK;
}
