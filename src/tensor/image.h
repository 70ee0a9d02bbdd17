/* image.h: pictures: read PNG and JPEG, write PNG, resize, and to and from tensors. */
#ifndef FR_TENSOR_IMAGE_H
#define FR_TENSOR_IMAGE_H

#include <frugal/types.h>

/* 8 bits a channel, rows one after another, 1 (grey), 3 (RGB) or 4 (RGBA) channels. */
typedef struct fr_image {
    int width, height, channels;
    uint8_t *pixels;
} fr_image;

/* Sides up to 65535, all pixels up to 2^27. */
fr_status fr_image_new(int width, int height, int channels, fr_image *out); /* zeros */
void fr_image_free(fr_image *im);
/* By content, not by name. channels 0: as in the file; else converted (alpha over white). Values are
 * taken as they are stored: colour profiles, gamma and a camera's orientation (EXIF) are not applied;
 * 16 bits are rounded to 8, CMYK becomes RGB, and the frames of an animation are not looked for. */
fr_status fr_image_read(const char *path, int channels, fr_image *out);
fr_status fr_image_decode(const uint8_t *data, size_t bytes, const char *name, int channels,
                          fr_image *out);
fr_status fr_image_write_png(const char *path, const fr_image *im);

typedef enum fr_resize { FR_RESIZE_AREA, FR_RESIZE_BICUBIC } fr_resize;
/* Area is the exact average of what a new pixel covers. Bicubic is Catmull-Rom (a = -0.5) with
 * antialiasing when shrinking, and gives the bytes that Pillow gives. */
fr_status fr_image_resize(const fr_image *in, int width, int height, fr_resize how, fr_image *out);

/* f32 [1, height, width, channels], values scale * byte + shift, and back (rounded, clamped). */
void fr_image_to_f32(const fr_image *im, float scale, float shift, float *out);
fr_status fr_image_from_f32(const float *in, int width, int height, int channels, float scale,
                            float shift, fr_image *out);

#endif
