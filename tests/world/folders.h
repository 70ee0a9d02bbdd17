/* folders.h: a folder for what a test writes, which goes away in the end, and comparing such folders. */
#ifndef FR_TESTS_WORLD_FOLDERS_H
#define FR_TESTS_WORLD_FOLDERS_H

#include "base/base.h"

/* A path inside the folder of this test, which is made when first asked for. The text stays for seven calls more. */
const char *in_folder(const char *name);
void remove_folder(void);
void remove_tree(const char *path);
/* All bytes of all files below, with their names. */
uint64_t tree_hash(const char *path);
/* How many names stand in a folder. */
size_t names_in(const char *path);
/* Calls write(path, arg) again and again, each time with another allocation failing, and holds that what stays is
 * nothing or all. How many of the calls failed. */
int with_scarce_memory(fr_status (*write)(const char *path, void *arg), const char *path,
                       void *arg);

#endif
