/* file.h: files, whole, mapped or written so that a reader sees the old one or the new one. */
#ifndef FR_BASE_FILE_H
#define FR_BASE_FILE_H

#include <frugal/types.h>

bool fr_path_exists(const char *path);
bool fr_path_is_dir(const char *path);
bool fr_path_has_suffix(const char *path, const char *suffix);
char *fr_path_join(const char *dir, const char *name); /* fr_free it */
fr_status fr_make_dirs(const char *path);
/* The folder of what comes with the program, by kind ("models", "recipes"), that holds the path `probe`: the one that
 * an environment variable names, the kind's own folder here, in the tree where the program was built, or where it is
 * installed. NULL: none; where: the folders that were looked at. fr_free it. */
char *fr_shipped_folder(const char *kind, const char *variable, const char *probe, char *where,
                        size_t bytes);
/* Names in a folder, sorted, without . and ..; free with fr_list_free. */
fr_status fr_list_dir(const char *path, char ***names, size_t *count);
void fr_list_free(char **names, size_t count);

/* The whole file and a zero byte behind it; at most limit bytes (0: no limit). */
fr_status fr_read_file(const char *path, size_t limit, char **data, size_t *bytes);

/* A read-only mapping; an empty file maps to a valid pointer with bytes 0. */
typedef struct fr_map {
    const uint8_t *data;
    size_t bytes;
} fr_map;
fr_status fr_map_open(const char *path, fr_map *out);
void fr_map_close(fr_map *m);
/* The memory of whole pages inside of a mapping is given back: who reads them again gets them from the file. What is
 * no mapping of these stays as it is. */
void fr_map_forget(const void *data, size_t bytes);

/* Writes path.tmp.<pid>.<n>, then syncs and renames it in fr_writer_commit. Without the commit the
 * old file stays and fr_writer_close removes what was written. */
typedef struct fr_writer fr_writer;
fr_status fr_writer_open(const char *path, fr_writer **out);
fr_status fr_writer_write(fr_writer *w, const void *data, size_t bytes);
uint64_t fr_writer_offset(const fr_writer *w);
fr_status fr_writer_commit(fr_writer *w); /* frees w, good or bad */
void fr_writer_close(fr_writer *w);       /* gives up; NULL is fine */
fr_status fr_write_file(const char *path, const void *data, size_t bytes);
/* Whether the commits of this thread wait until the disk has the file, as they do unless told otherwise; returns
 * what was before. Whoever writes thousands of small files into a folder that only counts as a whole syncs that
 * once. */
bool fr_writer_sync(bool on);

#endif
