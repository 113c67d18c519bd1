#include "object-svc/ingest/unreported.h"

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct left_object {
    struct uuid payload_id;
    char *bucket;
    char *key;
    int64_t version;
    uint64_t size_bytes;
    uint32_t crc32c;
    UT_hash_handle hh; /* keeps the order in which they were added */
};

struct unreported {
    size_t most;
    struct left_object *objects;
};

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

struct unreported *unreported_new(size_t most) {
    struct unreported *left = calloc(1, sizeof *left);
    if (left == NULL) {
        abort();
    }
    left->most = most;
    return left;
}

static void forget(struct unreported *left, struct left_object *object) {
    HASH_DEL(left->objects, object);
    free(object->bucket);
    free(object->key);
    free(object);
}

void unreported_free(struct unreported *left) {
    if (left == NULL) {
        return;
    }
    while (left->objects != NULL) {
        forget(left, left->objects);
    }
    free(left);
}

static struct left_object *find(const struct unreported *left, const struct uuid *payload_id) {
    struct left_object *object;
    HASH_FIND(hh, left->objects, payload_id, sizeof *payload_id, object);
    return object;
}

void unreported_add(struct unreported *left, const struct provenance *provenance) {
    if (find(left, &provenance->payload_id) != NULL) {
        return;
    }
    if (unreported_count(left) == left->most) {
        forget(left, left->objects);
    }
    struct left_object *object = calloc(1, sizeof *object);
    if (object == NULL) {
        abort();
    }
    object->payload_id = provenance->payload_id;
    object->bucket = copy_of(provenance->bucket);
    object->key = copy_of(provenance->key);
    object->version = provenance->version;
    object->size_bytes = provenance->size_bytes;
    object->crc32c = provenance->crc32c;
    HASH_ADD(hh, left->objects, payload_id, sizeof object->payload_id, object);
}

void unreported_remove(struct unreported *left, const struct uuid *payload_id) {
    struct left_object *object = find(left, payload_id);
    if (object != NULL) {
        forget(left, object);
    }
}

size_t unreported_count(const struct unreported *left) {
    return HASH_COUNT(left->objects);
}

size_t unreported_oldest(const struct unreported *left, struct object_report *reports, size_t max) {
    size_t count = 0;
    for (struct left_object *object = left->objects; object != NULL && count < max; object = object->hh.next) {
        reports[count++] = (struct object_report){
            .bucket = object->bucket,
            .key = object->key,
            .version = object->version,
            .payload_id = object->payload_id,
            .outcome = OBJECT_STORED,
            .tier = OBJECT_TIER_HOT,
            .size_bytes = object->size_bytes,
            .crc32c = object->crc32c,
        };
    }
    return count;
}
