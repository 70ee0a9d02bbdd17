/* image_png.c: PNG through libpng.
 *
 * libpng leaves an error by a long jump. All that lives across one stands in a struct of the caller,
 * so that no local variable is in doubt. Colours are taken as they are: gamma and profiles are not
 * applied. 16 bits are rounded to 8, palettes and few bits are expanded. */
#include "tensor/image_codec.h"

#include <png.h>
#include <string.h>

/* Deflate makes at most 1032 bytes of one, and eight 1-bit pixels fit in a byte. */
#define PIXELS_PER_BYTE (1032 * 8)
#define DEFLATE_RATIO   1032
#define CHUNK_MOST      ((png_alloc_size_t)16 << 20)

typedef struct png_job {
    png_structp png;
    png_infop info;
    const char *name;
    char error[200];
    /* reading */
    const uint8_t *data;
    size_t bytes, at;
    fr_image *image;
    /* writing */
    fr_writer *writer;
    png_bytepp rows;
    fr_status status; /* of our own calls below libpng */
} png_job;

static void on_error(png_structp png, png_const_charp text) {
    png_job *j = png_get_error_ptr(png);
    snprintf(j->error, sizeof j->error, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    png_job *j = png_get_error_ptr(png);
    fr_log(FR_LOG_DEBUG, "%s: %s", j->name, text);
}

static fr_status list_rows(png_job *j, const fr_image *im) {
    size_t stride = (size_t)im->width * (size_t)im->channels;
    j->rows = fr_alloc_array(FR_MEM_IMAGE, (size_t)im->height, sizeof *j->rows);
    if (!j->rows) return FR_NOMEM;
    for (int y = 0; y < im->height; y++) j->rows[y] = im->pixels + (size_t)y * stride;
    return FR_OK;
}

/* ---- reading ---- */

static void give_bytes(png_structp png, png_bytep out, size_t n) {
    png_job *j = png_get_io_ptr(png);
    if (n > j->bytes - j->at) png_error(png, "the file ends too early");
    memcpy(out, j->data + j->at, n);
    j->at += n;
}

/* Whatever the file holds becomes 8 bits of grey, RGB or RGBA. */
static int ask_for_bytes(png_job *j) {
    png_set_scale_16(j->png);
    png_set_expand(j->png);
    bool alpha = (png_get_color_type(j->png, j->info) & PNG_COLOR_MASK_ALPHA) ||
                 png_get_valid(j->png, j->info, PNG_INFO_tRNS);
    if (alpha) png_set_gray_to_rgb(j->png); /* there is no grey with alpha here */
    png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    return png_get_channels(j->png, j->info);
}

static fr_status make_room(png_job *j) {
    uint64_t width = png_get_image_width(j->png, j->info);
    uint64_t height = png_get_image_height(j->png, j->info);
    FR_TRY(fr_image_check_claim(j->name, width, height, j->bytes, PIXELS_PER_BYTE));
    uint64_t raw = height * (uint64_t)png_get_rowbytes(j->png, j->info);
    if (raw / DEFLATE_RATIO > j->bytes) {
        return fr_fail(FR_FORMAT,
                       "%s claims to hold %llu bytes of pixels, more than its %zu bytes can "
                       "hold",
                       j->name, (unsigned long long)raw, j->bytes);
    }
    int channels = ask_for_bytes(j);
    FR_TRY(fr_image_new((int)width, (int)height, channels, j->image));
    return list_rows(j, j->image);
}

static fr_status read_job(png_job *j) {
    if (setjmp(png_jmpbuf(j->png))) {
        return fr_fail(FR_FORMAT, "%s is a broken PNG picture: %s", j->name, j->error);
    }
    png_set_user_limits(j->png, FR_IMAGE_SIDE, FR_IMAGE_SIDE);
    png_set_chunk_malloc_max(j->png, CHUNK_MOST);
    png_set_read_fn(j->png, j, give_bytes);
    png_read_info(j->png, j->info);
    j->status = make_room(j);
    if (j->status != FR_OK) return j->status;
    png_read_image(j->png, j->rows);
    png_read_end(j->png, NULL);
    return FR_OK;
}

fr_status fr_png_decode(const uint8_t *data, size_t bytes, const char *name, fr_image *out) {
    png_job j = {.name = name, .data = data, .bytes = bytes, .image = out};
    *out = (fr_image){0};
    j.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    j.info = j.png ? png_create_info_struct(j.png) : NULL;
    fr_status status = j.info ? read_job(&j) : fr_fail(FR_NOMEM, "out of memory for %s", name);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    fr_free(j.rows);
    if (status != FR_OK) fr_image_free(out);
    return status;
}

/* ---- writing ---- */

static void take_bytes(png_structp png, png_bytep data, size_t n) {
    png_job *j = png_get_io_ptr(png);
    j->status = fr_writer_write(j->writer, data, n);
    if (j->status != FR_OK) png_error(png, "not written");
}

static void no_flush(png_structp png) {
    (void)png;
}

static fr_status write_job(png_job *j, const fr_image *im) {
    if (setjmp(png_jmpbuf(j->png))) {
        if (j->status != FR_OK) return j->status; /* the message is there already */
        return fr_fail(FR_INVALID, "%s cannot be made a PNG picture: %s", j->name, j->error);
    }
    int colour = im->channels == 1   ? PNG_COLOR_TYPE_GRAY
                 : im->channels == 3 ? PNG_COLOR_TYPE_RGB
                                     : PNG_COLOR_TYPE_RGB_ALPHA;
    png_set_write_fn(j->png, j, take_bytes, no_flush);
    png_set_IHDR(j->png, j->info, (png_uint_32)im->width, (png_uint_32)im->height, 8, colour,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    png_write_image(j->png, j->rows);
    png_write_end(j->png, NULL);
    return FR_OK;
}

static fr_status encode(png_job *j, const fr_image *im) {
    FR_TRY(list_rows(j, im));
    j->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
    j->info = j->png ? png_create_info_struct(j->png) : NULL;
    if (!j->info) return fr_fail(FR_NOMEM, "out of memory for %s", j->name);
    return write_job(j, im);
}

fr_status fr_image_write_png(const char *path, const fr_image *im) {
    if (!im->pixels || im->width < 1 || im->height < 1 ||
        (im->channels != 1 && im->channels != 3 && im->channels != 4)) {
        return fr_fail(FR_INVALID,
                       "%s: a picture of %d x %d pixels and %d channels cannot be written", path,
                       im->width, im->height, im->channels);
    }
    png_job j = {.name = path};
    FR_TRY(fr_writer_open(path, &j.writer));
    fr_status status = encode(&j, im);
    png_destroy_write_struct(&j.png, &j.info);
    fr_free(j.rows);
    if (status == FR_OK) return fr_writer_commit(j.writer);
    fr_writer_close(j.writer);
    return status;
}
