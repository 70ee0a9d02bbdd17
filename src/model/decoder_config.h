/* decoder_config.h: what the files that read and write config.json share.
 *
 *     decoder_config.c         reading: families, shapes, switches
 *     decoder_config_rope.c    reading: how positions turn
 *     decoder_config_write.c   writing */
#ifndef FR_MODEL_DECODER_CONFIG_H
#define FR_MODEL_DECODER_CONFIG_H

#include "model/decoder.h"

#define FR_MOST_SIZE (1 << 24)

/* What a family's config.json means by what it does not say: the defaults of transformers' classes. */
typedef struct fr_family_info {
    const char *architecture;
    int64_t kv_heads, head_dim; /* 0: as many as heads; width / heads */
    int64_t context, window;
    double theta, eps;
    bool tied;
} fr_family_info;
extern const fr_family_info fr_family_infos[FR_FAMILIES];

/* A number 1 .. FR_MOST_SIZE; fallback 0: it must be there. */
fr_status fr_config_size(const fr_json *c, const char *key, int64_t fallback, int64_t *out);
/* A number above 0 that is one as a float, too; fallback 0: it must be there. */
fr_status fr_config_real(const fr_json *c, const char *key, double fallback, float *out);
/* Into m->rope, when all else is read. */
fr_status fr_config_rope(const fr_json *c, fr_decoder *m);

#endif
