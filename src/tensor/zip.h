/* zip.h: the members of a zip file that are stored without compression, as views into it. */
#ifndef FR_TENSOR_ZIP_H
#define FR_TENSOR_ZIP_H

#include "tensor/names.h"

typedef struct fr_zip_member {
    uint64_t offset, bytes; /* of its data in the file */
} fr_zip_member;

typedef struct fr_zip {
    fr_names names;
    fr_zip_member *member; /* by the number of its name */
    size_t cap;
} fr_zip;

/* Names live in the arena. path: for messages. What is compressed or encrypted is refused. */
fr_status fr_zip_read(const char *path, const uint8_t *data, size_t bytes, fr_arena *arena,
                      fr_zip *out);
void fr_zip_free(fr_zip *z);

#endif
