/* What every backend says of an object, and how; for the backends only.
 *
 * Pure functions; any thread. */
#ifndef WAYBILL_COLD_COLD_OBJECT_H
#define WAYBILL_COLD_COLD_OBJECT_H

#include "common/base/arena.h"
#include "object-svc/cold/cold_path.h"
#include "object-svc/hot/block_sums.h"

enum { COLD_SIDECAR_PATH_BYTES = COLD_PATH_MAX_BYTES + 8 };

/* NOT_FOUND, OBJECT_NOT_FOUND and DATA_LOSS, OBJECT_CORRUPT that name the object; return false. */
bool cold_object_not_found(struct error *error, const struct cold_name *name);
bool cold_object_corrupt(struct error *error, const struct cold_name *name, const char *how);
/* INVALID_ARGUMENT where it is no object's name; then `path` is of its bytes. */
bool cold_object_path(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES], struct error *error);
void cold_sidecar_path(const char *object_path, char path[COLD_SIDECAR_PATH_BYTES]);

/* ALREADY_EXISTS, COLD_OBJECT_CONFLICT where the object that is there has another payload and other
 * bytes, as far as size, CRC32C and, where both have it, SHA-256 tell. */
bool cold_object_check_conflict(const struct provenance *there, const struct provenance *given, struct error *error);
/* A copy in the arena, with the time of storing where it has none. */
struct provenance cold_object_copy(const struct provenance *provenance, const struct clock *clock, struct arena *arena);
/* DATA_LOSS, PAYLOAD_CORRUPT where the bytes are not those announced. */
bool cold_object_check_room(const struct provenance *announced, const struct block_sums *sums, size_t more,
                            struct error *error);
bool cold_object_check_payload(const struct provenance *announced, const struct block_sums *sums, struct error *error);

static inline struct cold_name cold_object_name(const struct provenance *provenance) {
    return (struct cold_name){provenance->bucket, provenance->key, provenance->version};
}

#endif
