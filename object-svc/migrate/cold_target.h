/* A cold store in one line, as an operator names the target of a migration:
 *
 *   file:///srv/waybill/cold
 *   s3+https://host[:port]/bucket[/prefix]?region=eu-1&path_style=false&access_key_file=/run/key
 *
 * (s3+http for a server without TLS.) What the query does not say, and how to connect, is as the
 * s3_ keys of the configuration have it. Pure functions; any thread. */
#ifndef WAYBILL_MIGRATE_COLD_TARGET_H
#define WAYBILL_MIGRATE_COLD_TARGET_H

#include "common/base/arena.h"
#include "object-svc/cold/cold_s3.h"

enum { COLD_TARGET_MAX_BYTES = 2048 };

/* Fills the options, in the arena, from the text and from `configured`; where an S3 store keeps
 * its notes is `uploads_directory`. INVALID_ARGUMENT, BAD_TARGET (field "target"). */
bool cold_target_parse(const char *text, const struct cold_store_options *configured, const char *uploads_directory,
                       struct arena *arena, struct cold_store_options *options, struct error *error);

/* The place that the options name, without what is only about getting there: two stores with the
 * same text are the same place. */
const char *cold_target_place(const struct cold_store_options *options, struct arena *arena);

#endif
