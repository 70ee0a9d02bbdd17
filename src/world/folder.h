/* folder.h: what the writers of data sets and suites share: a folder that appears whole or not at all, and work
 * on many files by all threads. */
#ifndef FR_WORLD_FOLDER_H
#define FR_WORLD_FOLDER_H

#include "base/base.h"

/* A new folder beside `path`, under a temporary name; refused when there is something at `path` that is not an
 * empty folder. *temp goes back to fr_folder_commit, which brings it to the disk and gives it its name, or to
 * fr_folder_drop, which removes it with all that is in it. */
fr_status fr_folder_new(const char *path, char **temp);
fr_status fr_folder_commit(const char *path, char *temp);
void fr_folder_drop(char *temp);

/* fn(arg, i) for 0 <= i < count on all threads of the pool. Of those that fail the first, in their order, is
 * handed up with its message, whatever thread it ran on; the others of this call still run. Files that fn writes are not synced
 * one by one. */
typedef fr_status fr_item_fn(void *arg, size_t i);
fr_status fr_items_run(fr_pool *pool, size_t count, fr_item_fn *fn, void *arg);

#endif
