/* embed_parts.h: what a folder of sentence-transformers says beside the encoder. */
#ifndef FR_TEXT_EMBED_PARTS_H
#define FR_TEXT_EMBED_PARTS_H

#include "base/base.h"

typedef struct fr_pooling {
    bool first;     /* the state of the first token; else the mean of all */
    bool normalize; /* to length 1 */
    int64_t most;   /* tokens of a text; 0: as many as the encoder has positions */
} fr_pooling;

/* modules.json, the configuration of the pooling that it names, sentence_bert_config.json. */
fr_status fr_pooling_read(const char *folder, fr_pooling *out);

#endif
