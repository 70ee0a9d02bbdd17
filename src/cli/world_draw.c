/* world_draw.c: `frugal world draw`: a sheet of scenes, for a person to look at. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/world.h"
#include "tensor/tensor.h"

enum { SCALE = 2, GAP = 4, COLUMNS = 6, SHEET_MOST = 600 };

static void put(fr_image *sheet, const float *pixels, int size, int scale, int x0, int y0) {
    for (int y = 0; y < size * scale; y++)
        for (int x = 0; x < size * scale; x++)
            for (int c = 0; c < 3; c++) {
                float v = pixels[(y / scale * size + x / scale) * 3 + c];
                sheet->pixels[((size_t)(y0 + y) * (size_t)sheet->width + (size_t)(x0 + x)) * 3 +
                              (size_t)c] = (uint8_t)lroundf(255 * v);
            }
}

static fr_status draw_sheet(const world_ask *a, const fr_prompt *wanted, int tag) {
    static float pixels[128 * 128 * 3];
    const char *out = a->out ? a->out : "world.png";
    int size = (int)a->size, count = (int)a->count, scale = count == 1 ? 1 : SCALE;
    int columns = FR_MIN(count, COLUMNS), rows = (count + COLUMNS - 1) / COLUMNS;
    int cell = size * scale + (count == 1 ? 0 : GAP), edge = count == 1 ? 0 : GAP;
    fr_image sheet;
    FR_TRY(fr_image_new(columns * cell + edge, rows * cell + edge, 3, &sheet));
    memset(sheet.pixels, 255, (size_t)sheet.width * (size_t)sheet.height * 3);
    fr_status st = FR_OK;
    for (int i = 0; i < count && !st; i++) {
        fr_scene s;
        char text[FR_CAPTION_TEXT];
        if (wanted)
            st = fr_scene_of_prompt(wanted, (uint64_t)a->seed, (uint64_t)i, size, &s);
        else
            fr_scene_make((uint64_t)a->seed, (uint64_t)i, size, tag, FR_SPLIT_ALL, &s);
        if (st) break;
        fr_scene_draw(&s, pixels);
        put(&sheet, pixels, size, scale, edge + i % COLUMNS * cell, edge + i / COLUMNS * cell);
        fr_prompt_text(&s.prompt, text);
        printf("%s\n", text);
    }
    if (!st) st = fr_image_write_png(out, &sheet);
    fr_image_free(&sheet);
    if (!st) printf("%s: %d of them\n", out, count);
    return st;
}

fr_status world_draw(const world_ask *a) {
    fr_prompt p;
    int tag;
    if (a->count > SHEET_MOST)
        return fr_fail(FR_INVALID, "A sheet has room for %d pictures.", SHEET_MOST);
    if (a->words > 1)
        return fr_fail(FR_INVALID, "One prompt at a time, in quotes: \"%s %s ...\".", a->word[0],
                       a->word[1]);
    FR_TRY(world_tag(a, &tag));
    if (a->words) FR_TRY(fr_prompt_parse(a->word[0], &p));
    return draw_sheet(a, a->words ? &p : NULL, tag);
}
