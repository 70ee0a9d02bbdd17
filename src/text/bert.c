/* bert.c: what BERT's normalizer does to a text, and what it takes for punctuation.
 *
 * The package goes by tables of Unicode 8 here, utf8proc by newer ones: the characters that came since then, or changed
 * their kind, are listed, so that the same ids come out. */
#include <string.h>

#include <utf8proc.h>

#include "text/tokenizer_parts.h"

typedef struct span {
    int32_t first, last;
} span;

static const span new_controls[] = {
    {0x890, 0x891}, {0x8E2, 0x8E2}, {0x110CD, 0x110CD}, {0x13430, 0x1343F}};
static const span new_punctuation[] = {
    {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},
    {0xC84, 0xC84},     {0x1B7D, 0x1B7E},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},
    {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x1144B, 0x1144F},
    {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
    {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
    {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45},
    {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF},
    {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}};
static const span new_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8E1},     {0x9FE, 0x9FE},
    {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},
    {0xD00, 0xD00},     {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},
    {0xECE, 0xECE},     {0x180F, 0x180F},   {0x1885, 0x1886},   {0x1ABF, 0x1ACE},
    {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},
    {0xA9BD, 0xA9BD},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074},
    {0x110C2, 0x110C2}, {0x111C9, 0x111C9}, {0x111CF, 0x111CF}, {0x1123E, 0x1123E},
    {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1143F}, {0x11442, 0x11444},
    {0x11446, 0x11446}, {0x1145E, 0x1145E}, {0x1182F, 0x11837}, {0x11839, 0x1183A},
    {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11943}, {0x119D4, 0x119D7},
    {0x119DA, 0x119DB}, {0x119E0, 0x119E0}, {0x11A01, 0x11A0A}, {0x11A33, 0x11A38},
    {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47}, {0x11A51, 0x11A56}, {0x11A59, 0x11A5B},
    {0x11A8A, 0x11A96}, {0x11A98, 0x11A99}, {0x11C30, 0x11C36}, {0x11C38, 0x11C3D},
    {0x11C3F, 0x11C3F}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0}, {0x11CB2, 0x11CB3},
    {0x11CB5, 0x11CB6}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D},
    {0x11D3F, 0x11D45}, {0x11D47, 0x11D47}, {0x11D90, 0x11D91}, {0x11D95, 0x11D95},
    {0x11D97, 0x11D97}, {0x11EF3, 0x11EF4}, {0x11F00, 0x11F01}, {0x11F36, 0x11F3A},
    {0x11F40, 0x11F40}, {0x11F42, 0x11F42}, {0x13440, 0x13440}, {0x13447, 0x13455},
    {0x16F4F, 0x16F4F}, {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46},
    {0x1E000, 0x1E006}, {0x1E008, 0x1E018}, {0x1E01B, 0x1E021}, {0x1E023, 0x1E024},
    {0x1E026, 0x1E02A}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E944, 0x1E94A}};

static bool within(const span *s, size_t count, int32_t c) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s[middle].last < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && s[low].first <= c;
}

bool fr_bert_mark(int32_t c) {
    if (c < 0x80)
        return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') ||
               (c > 'z' && c < 0x7F);
    if (c == 0x166D || c == 0x111C9) return true; /* were punctuation then */
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO &&
           !within(new_punctuation, FR_COUNT(new_punctuation), c);
}

static bool is_control(int32_t c) {
    if (c < 0x80) return c < ' ' || c == 0x7F;
    if (c == 0xFFFD) return true;
    utf8proc_category_t k = utf8proc_category(c);
    bool other =
        k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO;
    return other && !within(new_controls, FR_COUNT(new_controls), c);
}

static bool is_accent(int32_t c) {
    if (c < 0x300) return false;
    return c == 0x1734 || (utf8proc_category(c) == UTF8PROC_CATEGORY_MN &&
                           !within(new_marks, FR_COUNT(new_marks), c));
}

static bool is_chinese(int32_t c) {
    static const span chinese[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                   {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                   {0x2F800, 0x2FA1F}};
    return c >= 0x3400 && within(chinese, FR_COUNT(chinese), c);
}

static fr_status clean_char(const fr_rewrite *r, const char *text, size_t bytes, int32_t c,
                            fr_growing *out) {
    bool tidy = c == '\t' || c == '\n' || c == '\r';
    if (r->clean && c >= 0 && !tidy && is_control(c)) return FR_OK;
    if (r->clean && (tidy || fr_space_at(text, bytes) == bytes)) return fr_append(out, " ", 1);
    bool apart = r->chinese && is_chinese(c);
    if (apart) FR_TRY(fr_append(out, " ", 1));
    FR_TRY(fr_append(out, text, bytes));
    return apart ? fr_append(out, " ", 1) : FR_OK;
}

static fr_status clean(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        n = fr_char_at(text + i, bytes - i, &c);
        FR_TRY(clean_char(r, text + i, n, c, out));
    }
    return FR_OK;
}

/* Without accents, in lower case; what is decomposed is written to out. */
static fr_status soften(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    for (size_t i = 0, n; i < bytes; i += n) {
        int32_t c;
        char utf8[4];
        n = fr_char_at(text + i, bytes - i, &c);
        if (r->accents && is_accent(c)) continue;
        int32_t low = r->lower && c >= 0 ? fr_lower_char(c) : c;
        if (low == c) {
            FR_TRY(fr_append(out, text + i, n));
        } else {
            FR_TRY(fr_append(out, utf8, fr_char_put(utf8, low)));
            if (c == 0x130) FR_TRY(fr_append(out, "\xCC\x87", 2));
        }
    }
    return FR_OK;
}

fr_status fr_normalize_bert(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out) {
    fr_growing cleaned = {0}, apart = {0};
    fr_status status = clean(r, text, bytes, &cleaned);
    const fr_growing *now = &cleaned;
    if (status == FR_OK && r->accents && cleaned.count) {
        status = fr_normal_form(FR_REWRITE_D, cleaned.text, cleaned.count, &apart);
        now = &apart;
    }
    if (status == FR_OK && now->count) status = soften(r, now->text, now->count, out);
    fr_free(cleaned.text);
    fr_free(apart.text);
    return status;
}
