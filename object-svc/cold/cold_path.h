/* How an object's name becomes a path in the directory, and back.
 *
 *   <bucket>/<key>/@<version>
 *
 * The key's segments are directories, changed as little as makes the mapping one to one:
 *   - '%' is written "%25";
 *   - a '@' at the begin of a directory's name is written "%40", so that only versions begin
 *     with '@', and the keys "a" and "a/@1" do not meet;
 *   - a segment of more than 200 bytes is cut into several directories, each but the last
 *     ending in a bare '%', since file systems limit names to 255 bytes. Cuts are between
 *     UTF-8 characters.
 *
 * Pure functions; any thread. */
#ifndef WAYBILL_COLD_COLD_PATH_H
#define WAYBILL_COLD_COLD_PATH_H

#include "object-svc/cold/cold_store.h"

enum {
    COLD_NAME_PIECE_BYTES = 200,
    /* A key of nothing but '%' is the longest: three bytes for each, and two per cut. */
    COLD_PATH_MAX_BYTES = 64 + 3 * 1024 + 2 * (3 * 1024 / (COLD_NAME_PIECE_BYTES - 3) + 1) + 32,
};

/* The directory of the object's versions; false where the name is not valid. */
bool cold_path_directory(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES]);
/* The path of the object's bytes. */
bool cold_path_object(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES]);

/* Reads a path of cold_path_object back. `key` holds the key, which `name` borrows, as it
 * borrows `bucket`. False where it is no such path. */
bool cold_path_parse(const char *path, char bucket[64], char key[1025], struct cold_name *name);

#endif
