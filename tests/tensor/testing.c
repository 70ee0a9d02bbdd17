#include "testing.h"

static void make_path(char *path, size_t room, const char *dir, const char *name) {
    snprintf(path, room, "%s%s%s", dir, *name ? "/" : "", name);
}

const char *in_test_dir(const char *name) {
    static char dir[64], path[4][512];
    static int turn;
    if (!dir[0]) {
        strcpy(dir, "/tmp/frugal-test-XXXXXX");
        if (!mkdtemp(dir)) fail_msg("no folder in /tmp");
    }
    turn = (turn + 1) % 4;
    make_path(path[turn], sizeof path[turn], dir, name);
    return path[turn];
}

int remove_test_dir(void **state) {
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", in_test_dir(""));
    if (system(command) != 0) fail_msg("%s", command);
    return 0;
}

const char *golden(const char *name) {
    static char path[1024];
    make_path(path, sizeof path, FR_TESTS_DIR "/golden/tensor", name);
    return path;
}

void put_file(const char *path, const void *data, size_t n) {
    assert_good(fr_write_file(path, data, n));
}

void put(bytes *b, const void *data, size_t n) {
    assert_good(fr_grow((void **)&b->data, &b->cap, b->n + n, 1));
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

void put_u32(bytes *b, uint32_t x) {
    put(b, &x, 4);
}
void put_u64(bytes *b, uint64_t x) {
    put(b, &x, 8);
}

void put_text(bytes *b, const char *text) {
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

void drop(bytes *b) {
    fr_free(b->data);
    *b = (bytes){0};
}

bytes safetensors_of(const char *header, size_t data_bytes) {
    bytes b = {0};
    put_u64(&b, strlen(header));
    put(&b, header, strlen(header));
    for (size_t i = 0; i < data_bytes; i++) put(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

bytes gguf_head(uint32_t version, uint64_t tensors, uint64_t pairs) {
    bytes b = {0};
    put(&b, "GGUF", 4);
    put_u32(&b, version);
    put_u64(&b, tensors);
    put_u64(&b, pairs);
    return b;
}

void put_gguf_tensor(bytes *b, const char *name, int rank, const uint64_t *dim, uint32_t type,
                     uint64_t offset) {
    put_text(b, name);
    put_u32(b, (uint32_t)rank);
    for (int i = 0; i < rank; i++) put_u64(b, dim[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

void pad_to(bytes *b, size_t multiple) {
    while (b->n % multiple) put(b, "", 1);
}
