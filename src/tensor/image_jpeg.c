/* image_jpeg.c: reading JPEG through libjpeg.
 *
 * libjpeg mends what is broken and only warns; here a warning that means missing or wrong pixels is
 * an error. All that lives across the long jump of an error stands in a struct of the caller.
 * The orientation that a camera notes (EXIF) and colour profiles are not applied. */
#include "tensor/image_codec.h"

#include <setjmp.h>
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>

/* A Huffman code has at least one bit, and one code at least stands for a block of 64 pixels. */
#define PIXELS_PER_BYTE 512
/* A progressive file refines the picture scan by scan; each costs a pass over all of it. */
#define SCANS_MOST 200

typedef struct jpeg_job {
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf back;
    const char *name;
    const uint8_t *data;
    size_t bytes;
    fr_image *image;
    uint8_t *row; /* of a CMYK picture */
} jpeg_job;

static void on_error(j_common_ptr common) {
    jpeg_job *j = common->client_data;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    fr_fail(FR_FORMAT, "%s is a broken JPEG picture: %s", j->name, text);
    longjmp(j->back, 1);
}

/* level -1: data is corrupt, and libjpeg would go on. Stray bytes between segments are common and
 * harmless; anything else is pixels that are not those of the picture. */
static void on_message(j_common_ptr common, int level) {
    jpeg_job *j = common->client_data;
    if (level >= 0) return;
    int code = common->err->msg_code;
    if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) {
        on_error(common);
    }
    fr_log(FR_LOG_DEBUG, "%s: harmless oddity %d of libjpeg", j->name, code);
}

static void on_progress(j_common_ptr common) {
    jpeg_job *j = common->client_data;
    if (j->jpeg.input_scan_number <= SCANS_MOST) return;
    fr_fail(FR_FORMAT, "%s has more than %d scans, which no real picture has", j->name, SCANS_MOST);
    longjmp(j->back, 1);
}

/* Adobe's programs store CMYK inverted, and say so with a marker of theirs. */
static void cmyk_to_rgb(const uint8_t *in, int width, bool inverted, uint8_t *out) {
    unsigned flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++, in += 4, out += 3) {
        unsigned black = in[3] ^ flip;
        for (int c = 0; c < 3; c++) out[c] = (uint8_t)(((in[c] ^ flip) * black + 127) / 255);
    }
}

static void read_rows(jpeg_job *j) {
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    size_t stride = (size_t)j->image->width * (size_t)j->image->channels;
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to = j->image->pixels + jpeg->output_scanline * stride;
        JSAMPROW row = j->row ? j->row : to;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (j->row) cmyk_to_rgb(row, j->image->width, jpeg->saw_Adobe_marker, to);
    }
}

static fr_status make_room(jpeg_job *j) {
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    bool grey = jpeg->out_color_space == JCS_GRAYSCALE;
    FR_TRY(fr_image_new((int)jpeg->image_width, (int)jpeg->image_height, grey ? 1 : 3, j->image));
    if (jpeg->out_color_space != JCS_CMYK) return FR_OK;
    j->row = fr_alloc_array(FR_MEM_IMAGE, jpeg->image_width, 4);
    return j->row ? FR_OK : FR_NOMEM;
}

static fr_status choose_colour(jpeg_job *j) {
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE: jpeg->out_color_space = JCS_GRAYSCALE; return FR_OK;
    case JCS_YCbCr:
    case JCS_RGB: jpeg->out_color_space = JCS_RGB; return FR_OK;
    case JCS_CMYK:
    case JCS_YCCK: jpeg->out_color_space = JCS_CMYK; return FR_OK;
    default:
        return fr_fail(FR_UNSUPPORTED, "%s is a JPEG picture of %d channels that no one names",
                       j->name, jpeg->num_components);
    }
}

static fr_status read_job(jpeg_job *j) {
    if (setjmp(j->back)) return FR_FORMAT; /* the message is there already */
    jpeg_create_decompress(&j->jpeg);
    j->jpeg.client_data = j; /* created with zeros in its place */
    j->jpeg.progress = &j->progress;
    jpeg_mem_src(&j->jpeg, j->data, (unsigned long)j->bytes);
    jpeg_read_header(&j->jpeg, TRUE);
    FR_TRY(fr_image_check_claim(j->name, j->jpeg.image_width, j->jpeg.image_height, j->bytes,
                                PIXELS_PER_BYTE));
    FR_TRY(choose_colour(j));
    FR_TRY(make_room(j));
    jpeg_start_decompress(&j->jpeg);
    read_rows(j);
    jpeg_finish_decompress(&j->jpeg);
    return FR_OK;
}

fr_status fr_jpeg_decode(const uint8_t *data, size_t bytes, const char *name, fr_image *out) {
    *out = (fr_image){0};
    jpeg_job *j = fr_alloc(FR_MEM_IMAGE, sizeof *j);
    if (!j) return FR_NOMEM;
    j->name = name;
    j->data = data;
    j->bytes = bytes;
    j->image = out;
    j->jpeg.err = jpeg_std_error(&j->errors);
    j->jpeg.client_data = j;
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->progress.progress_monitor = on_progress;
    fr_status status = read_job(j);
    jpeg_destroy_decompress(&j->jpeg);
    fr_free(j->row);
    fr_free(j);
    if (status != FR_OK) fr_image_free(out);
    return status;
}
