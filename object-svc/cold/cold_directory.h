/* The cold store in a directory: each object a plain file that any tool can read,
 * `<bucket>/<key>/@<version>`, beside it `@<version>.json` with its provenance. How keys
 * become paths is in cold_path.h; the format is described in docs/formats/cold-store.md.
 *
 * After a flush that failed the directory takes no writes and no removals, from this process, until it is opened again
 * (UNAVAILABLE, COLD_STORE_READ_ONLY): what is on the disk is unknown then. Reads go on.
 *
 * Several processes may share the directory, each under a replica name of its own. */
#ifndef WAYBILL_COLD_COLD_DIRECTORY_H
#define WAYBILL_COLD_COLD_DIRECTORY_H

#include "object-svc/cold/cold_store.h"

/* Opens `options->directory`, made where missing, and removes what this replica left half
 * written. */
struct cold_store *cold_directory_open(const struct cold_store_options *options, struct error *error);

#endif
