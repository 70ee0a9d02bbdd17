/* sentence_read.c: a tokenizer.model, the file of the `sentencepiece` package: a message of Protocol Buffers (fields of
 * a number, a wire type and a value), of which the parts that change ids or text are read. */
#include <string.h>

#include "text/read.h"
#include "text/sentence.h"

/* ---- the format ---- */

typedef struct bytes_at {
    const uint8_t *at, *end;
} bytes_at;

typedef struct field {
    uint32_t number;
    uint64_t value; /* of numbers */
    bytes_at part;  /* of texts and messages */
} field;

static fr_status broken(void) {
    return fr_fail(FR_FORMAT,
                   "it is no tokenizer.model: a field breaks off or is of an unknown kind");
}

static bool read_varint(bytes_at *b, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
        uint8_t byte = *b->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* The next field; number 0 at the end. */
static fr_status next_field(bytes_at *b, field *f) {
    uint64_t key, size = 0;
    *f = (field){0};
    if (b->at == b->end) return FR_OK;
    if (!read_varint(b, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) return broken();
    f->number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case 0: return read_varint(b, &f->value) ? FR_OK : broken();
    case 1: size = 8; break;
    case 2:
        if (!read_varint(b, &size)) return broken();
        break;
    case 5: size = 4; break;
    default: return broken();
    }
    if (size > (size_t)(b->end - b->at)) return broken();
    f->part = (bytes_at){b->at, b->at + size};
    b->at += size;
    for (size_t i = 0; (key & 7) != 2 && i < size; i++) {
        f->value |= (uint64_t)f->part.at[i] << (8 * i);
    }
    return FR_OK;
}

static size_t size_of(bytes_at b) {
    return (size_t)(b.end - b.at);
}

/* ---- the message ---- */

typedef struct sentence {
    bytes_at file;
    size_t pieces;
    int64_t model;   /* 1: Unigram, 2: BPE */
    int64_t ends[2]; /* bos, eos */
    bool byte_fallback;
    fr_rewrite normal;
    bytes_at map;
    bool escape;
} sentence;

static fr_status read_trainer(sentence *s, bytes_at b) {
    for (field f;;) {
        FR_TRY(next_field(&b, &f));
        switch (f.number) {
        case 0: return FR_OK;
        case 3: s->model = (int64_t)f.value; break;
        case 24: s->normal.as_suffix = f.value != 0; break;
        case 35: s->byte_fallback = f.value != 0; break;
        case 41: s->ends[0] = (int32_t)f.value; break;
        case 42: s->ends[1] = (int32_t)f.value; break;
        default: break;
        }
    }
}

static fr_status read_normalizer(sentence *s, bytes_at b) {
    for (field f;;) {
        FR_TRY(next_field(&b, &f));
        switch (f.number) {
        case 0: return FR_OK;
        case 2: s->map = f.part; break;
        case 3: s->normal.dummy_prefix = f.value != 0; break;
        case 4: s->normal.extra_spaces = f.value == 0; break;
        case 5: s->escape = f.value != 0; break;
        default: break;
        }
    }
}

static fr_status look_through(sentence *s) {
    bytes_at b = s->file;
    for (field f;;) {
        FR_TRY(next_field(&b, &f));
        switch (f.number) {
        case 0: return FR_OK;
        case 1: s->pieces++; break;
        case 2: FR_TRY(read_trainer(s, f.part)); break;
        case 3: FR_TRY(read_normalizer(s, f.part)); break;
        case 5:
            if (size_of(f.part)) {
                bytes_at d = f.part;
                for (field g = {.number = 1}; g.number;) {
                    FR_TRY(next_field(&d, &g));
                    if (g.number == 2 && size_of(g.part))
                        return fr_read_refuse("part", "denormalizer");
                }
            }
            break;
        default: break;
        }
    }
}

static fr_status put_piece(fr_tokenizer *t, size_t id, bytes_at b) {
    bytes_at name = {0};
    float score = 0;
    int64_t type = FR_PIECE_NORMAL;
    for (field f = {.number = 1}; f.number;) {
        FR_TRY(next_field(&b, &f));
        if (f.number == 1) name = f.part;
        if (f.number == 3) type = (int64_t)f.value;
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 2) memcpy(&score, &bits, sizeof score);
    }
    const char *text = name.at ? (const char *)name.at : "";
    return fr_put_scored(t, id, text, size_of(name), (double)score, type, FR_TOKEN_USER);
}

static fr_status put_pieces(fr_tokenizer *t, const sentence *s) {
    bytes_at b = s->file;
    size_t id = 0;
    if (!s->pieces) return fr_fail(FR_FORMAT, "it has no tokens");
    FR_TRY(fr_tokenizer_reserve(t, s->pieces, s->pieces - 1));
    FR_TRY(fr_tokenizer_reserve_scores(t, s->pieces));
    for (field f = {.number = 1}; f.number;) {
        FR_TRY(next_field(&b, &f));
        if (f.number == 1) FR_TRY(put_piece(t, id++, f.part));
    }
    return t->unknown >= 0 ? FR_OK : fr_fail(FR_FORMAT, "it has no unknown token");
}

/* What tokenizer.json can say of the normalizer; nothing, where it has no words for it. */
static const char *normalizer_json(const sentence *s) {
#define SPACES "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}"
    if (size_of(s->map) || !s->normal.extra_spaces || s->normal.as_suffix) return NULL;
    if (!s->normal.dummy_prefix) return SPACES;
    return "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"}"
           "," SPACES "]}";
}

static fr_status put_normalizer(fr_tokenizer *t, const sentence *s) {
    fr_rewrite r = s->normal;
    size_t bytes = size_of(s->map);
    if (!s->escape) return fr_read_refuse("normalizer", "escape_whitespaces = false");
    if (bytes) {
        uint8_t *map = fr_arena_alloc(t->arena, bytes);
        if (!map) return FR_NOMEM;
        memcpy(map, s->map.at, bytes);
        FR_TRY(fr_charsmap_read(map, bytes, &r.map));
    }
    r.kind = FR_REWRITE_SENTENCE;
    FR_TRY(fr_tokenizer_put_rewrite(t, &r));
    const char *json = normalizer_json(s);
    t->unwritable = !json;
    return json ? fr_json_parse(json, strlen(json), "a normalizer", &t->normalizer) : FR_OK;
}

/* A model with a begin has it put before texts; T5's has none, and puts its end behind. */
static fr_status put_ends(fr_tokenizer *t, const sentence *s) {
    int32_t ends[2];
    for (int i = 0; i < 2; i++) {
        bool is = s->ends[i] >= 0 && (uint64_t)s->ends[i] < t->size;
        is = is && (t->tokens[s->ends[i]].flags & FR_TOKEN_SPECIAL);
        ends[i] = is ? (int32_t)s->ends[i] : -1;
    }
    t->bos = ends[0];
    t->eos = ends[1];
    if (t->bos >= 0) return fr_tokenizer_put_around(t, t->bos, false);
    return t->eos >= 0 ? fr_tokenizer_put_around(t, t->eos, true) : FR_OK;
}

static fr_status read_sentence(fr_tokenizer *t, const uint8_t *data, size_t bytes) {
    sentence s = {.file = {data, data + bytes}, .model = 1, .ends = {1, 2}, .escape = true};
    s.normal.dummy_prefix = true;
    FR_TRY(look_through(&s));
    if (s.model != 1 && s.model != 2) {
        return fr_fail(FR_UNSUPPORTED,
                       "its model is of the type %lld; only Unigram and BPE are read",
                       (long long)s.model);
    }
    t->model = s.model == 1 ? FR_PIECES_UNIGRAM : FR_PIECES_CHARS;
    t->byte_fallback = s.byte_fallback;
    t->fuse_unknown = t->single = t->plain_find = true;
    FR_TRY(put_pieces(t, &s));
    if (s.model == 1) {
        fr_set_scores(t);
    } else {
        FR_TRY(fr_merge_by_scores(t));
    }
    t->trims = !s.normal.extra_spaces;
    FR_TRY(put_normalizer(t, &s));
    FR_TRY(fr_read_space_decoder(t, s.normal.extra_spaces && s.normal.dummy_prefix));
    FR_TRY(fr_tokenizer_finish(t));
    return put_ends(t, &s);
}

fr_status fr_sentence_parse(const uint8_t *data, size_t bytes, const char *name,
                            fr_tokenizer **out) {
    fr_tokenizer *t = *out = NULL;
    FR_TRY(fr_tokenizer_new(&t));
    fr_status status = read_sentence(t, data, bytes);
    if (status == FR_OK) {
        *out = t;
        return FR_OK;
    }
    fr_tokenizer_free(t);
    return status == FR_NOMEM ? status : fr_fail_in(status, "%s", name);
}
