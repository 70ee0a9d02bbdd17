/* image_codec.h: what image.c and the two formats agree on. */
#ifndef FR_TENSOR_IMAGE_CODEC_H
#define FR_TENSOR_IMAGE_CODEC_H

#include "base/base.h"
#include "tensor/image.h"

#define FR_IMAGE_SIDE   65535
#define FR_IMAGE_PIXELS ((uint64_t)1 << 27)

/* Before anything is allocated: sides within bounds, and no more pixels than `bytes` bytes of a
 * file can hold when a byte holds at most `most_per_byte`. */
fr_status fr_image_check_claim(const char *name, uint64_t width, uint64_t height, size_t bytes,
                               uint64_t most_per_byte);

/* Both give the channels of the file: 1, 3 or 4. */
fr_status fr_png_decode(const uint8_t *data, size_t bytes, const char *name, fr_image *out);
fr_status fr_jpeg_decode(const uint8_t *data, size_t bytes, const char *name, fr_image *out);

#endif
