/* fuzz_image.c: any bytes, read as a picture. */
#include "tensor/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fr_image im;
    if (fr_image_decode(data, size, "input", size & 1 ? 3 : 0, &im) == FR_OK) fr_image_free(&im);
    return 0;
}
