#include "object-svc/cold/cold_object.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool cold_object_not_found(struct error *error, const struct cold_name *name) {
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND",
                     "the cold store has no version %" PRId64 " in bucket %s of key %s", name->version, name->bucket,
                     name->key);
}

bool cold_object_corrupt(struct error *error, const struct cold_name *name, const char *how) {
    error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "%s in the cold store: bucket %s, version %" PRId64 ", key %s",
              how, name->bucket, name->version, name->key);
    error_set_detail(error, "object", "%s@%" PRId64 "/%s", name->bucket, name->version, name->key);
    return false;
}

bool cold_object_path(const struct cold_name *name, char path[COLD_PATH_MAX_BYTES], struct error *error) {
    return cold_path_object(name, path) || error_set(error, ERROR_INVALID_ARGUMENT, "BAD_OBJECT_NAME",
                                                     "bucket, key or version cannot be an object's name");
}

void cold_sidecar_path(const char *object_path, char path[COLD_SIDECAR_PATH_BYTES]) {
    snprintf(path, COLD_SIDECAR_PATH_BYTES, "%s.json", object_path);
}

static bool same_bytes(const struct provenance *there, const struct provenance *given) {
    return there->size_bytes == given->size_bytes && there->crc32c == given->crc32c &&
           !(there->has_sha256 && given->has_sha256 && memcmp(there->sha256, given->sha256, sizeof there->sha256) != 0);
}

/* One record at most has the version, so another payload is one that no record tells of any more: its
 * record was lost with the metadata. Where the bytes are the same nothing is lost with it. */
bool cold_object_check_conflict(const struct provenance *there, const struct provenance *given, struct error *error) {
    if (uuid_equal(&there->payload_id, &given->payload_id) || same_bytes(there, given)) {
        return true;
    }
    char id[UUID_TEXT_BYTES];
    uuid_print(&there->payload_id, id);
    return error_set(error, ERROR_ALREADY_EXISTS, "COLD_OBJECT_CONFLICT",
                     "the cold store has version %" PRId64 " of that key with another payload, %s", given->version, id);
}

struct provenance cold_object_copy(const struct provenance *provenance, const struct clock *clock,
                                   struct arena *arena) {
    struct provenance copy = *provenance;
    copy.bucket = arena_strdup(arena, provenance->bucket);
    copy.key = arena_strdup(arena, provenance->key);
    copy.content_type = arena_strdup(arena, provenance->content_type == NULL ? "" : provenance->content_type);
    copy.descriptor = arena_copy(arena, provenance->descriptor);
    if (copy.store_unix_us == 0) {
        copy.store_unix_us = clock_unix_us(clock);
    }
    return copy;
}

bool cold_object_check_room(const struct provenance *announced, const struct block_sums *sums, size_t more,
                            struct error *error) {
    return more <= announced->size_bytes - sums->size ||
           error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT",
                     "the object has more bytes than the %" PRIu64 " announced", announced->size_bytes);
}

bool cold_object_check_payload(const struct provenance *announced, const struct block_sums *sums, struct error *error) {
    if (sums->size == announced->size_bytes && sums->whole == announced->crc32c) {
        return true;
    }
    return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT",
                     "the object came with %" PRIu64 " bytes and CRC32C %08" PRIx32 ", announced were %" PRIu64
                     " and %08" PRIx32,
                     sums->size, sums->whole, announced->size_bytes, announced->crc32c);
}
