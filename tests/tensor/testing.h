/* testing.h: what the tests of this folder share: cmocka, a folder to write in, golden files, and
 * small files made in memory. */
#ifndef FR_TESTS_TENSOR_TESTING_H
#define FR_TESTS_TENSOR_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tensor/tensor.h"

#define assert_fails(expr, status, text)                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (status));                                                        \
        if (!strstr(fr_message(), (text)))                                                         \
            fail_msg("message without \"%s\": %s", (text), fr_message());                          \
    } while (0)

#define assert_good(expr)                                                                          \
    do {                                                                                           \
        if ((expr) != FR_OK) fail_msg("%s: %s", #expr, fr_message());                              \
    } while (0)

/* A fresh folder and a name in it; the name lives until the fourth call after. */
const char *in_test_dir(const char *name);
int remove_test_dir(void **state);    /* what a group of tests ends with */
const char *golden(const char *name); /* tests/golden/tensor/<name> */
void put_file(const char *path, const void *data, size_t bytes);

/* Bytes that grow. */
typedef struct bytes {
    uint8_t *data;
    size_t n, cap;
} bytes;
void put(bytes *b, const void *data, size_t n);
void put_u32(bytes *b, uint32_t x);
void put_u64(bytes *b, uint64_t x);
void put_text(bytes *b, const char *text); /* u64 length, then the bytes */
void drop(bytes *b);

/* A safetensors file: the length of the header, the header, data_bytes of 0, 1, 2, ... */
bytes safetensors_of(const char *header, size_t data_bytes);
/* A GGUF file's first 24 bytes, then what the test puts. */
bytes gguf_head(uint32_t version, uint64_t tensors, uint64_t pairs);
void put_gguf_tensor(bytes *b, const char *name, int rank, const uint64_t *dim, uint32_t type,
                     uint64_t offset);
void pad_to(bytes *b, size_t multiple);

#endif
