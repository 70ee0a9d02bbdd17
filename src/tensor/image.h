/* image.h: pictures: read PNG and JPEG, write PNG, resize, and to and from tensors. */
#ifndef FR_TENSOR_IMAGE_H
#define FR_TENSOR_IMAGE_H

#include <frugal/types.h>

/* 8 bits a channel, rows one after another, 1 (grey), 3 (RGB) or 4 (RGBA) channels. */
typedef struct fr_image {
    int width, height, channels;
    uint8_t *pixels;
} fr_image;

fr_status fr_image_new(int width, int height, int channels, fr_image *out); /* zeros */
void fr_image_free(fr_image *im);
/* By content, not by name. channels 0: as in the file; else converted (alpha over white). */
fr_status fr_image_read(const char *path, int channels, fr_image *out);
fr_status fr_image_decode(const uint8_t *data, size_t bytes, const char *name, int channels,
                          fr_image *out);
fr_status fr_image_write_png(const char *path, const fr_image *im);

typedef enum fr_resize { FR_RESIZE_AREA, FR_RESIZE_BICUBIC } fr_resize;
/* Bicubic is Catmull-Rom (a = -0.5) with antialiasing when shrinking, as Pillow does it. */
fr_status fr_image_resize(const fr_image *in, int width, int height, fr_resize how, fr_image *out);

/* f32 [1, height, width, channels], values scale * byte + shift, and back (rounded, clamped). */
void fr_image_to_f32(const fr_image *im, float scale, float shift, float *out);
fr_status fr_image_from_f32(const float *in, int width, int height, int channels, float scale,
                            float shift, fr_image *out);

#endif
