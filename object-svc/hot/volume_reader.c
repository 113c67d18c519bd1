/* Reading: the object's volume is pinned while it is open, its header is read from the volume
 * and held against the index, its bytes against their block checksums. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "object-svc/hot/volume_store_parts.h"

struct volume_reader {
    struct hot_reader base;
    struct volume_store *store;
    struct volume *volume; /* pinned */
    struct volume_needle needle;
    struct volume_payload payload;
    struct block_reader blocks;
};

static struct volume_reader *self_of(struct hot_reader *reader) {
    return (struct volume_reader *)reader;
}

static bool not_found(const struct uuid *payload_id, struct error *error) {
    char text[UUID_TEXT_BYTES];
    uuid_print(payload_id, text);
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the hot store has no object with payload id %s",
                     text);
}

/* Finds the object and pins its volume. One that is gone since we looked was rewritten: then
 * the index has another place, or the object was removed. */
static struct volume *pin_object(struct volume_store *store, const struct uuid *payload_id, struct index_entry *entry,
                                 struct error *error) {
    uint64_t gone = 0; /* no volume has this id */
    for (;;) {
        struct volume *volume;
        bool found;
        if (!object_index_get(store->index, payload_id, entry, &found, error)) {
            return NULL;
        }
        if (!found || entry->volume == gone) {
            not_found(payload_id, error);
            return NULL;
        }
        if (!volume_set_pin(&store->volumes, entry->volume, &volume, &found, error)) {
            return NULL;
        }
        if (found) {
            return volume;
        }
        gone = entry->volume;
    }
}

/* Whether what the volume says is what the index says. */
static bool load_header(struct volume_reader *self, const struct index_entry *entry, struct error *error) {
    enum volume_read read = hot_volume_read_needle(self->volume->file, self->volume->salt, entry->offset,
                                                   entry->offset + entry->needle_bytes, &self->needle, error);
    if (read == VOLUME_READ_FAILED) {
        return false;
    }
    const struct hot_object *object = &entry->object;
    const struct provenance *found = &self->needle.needle.provenance;
    if (read == VOLUME_READ_NEEDLE && self->needle.needle.kind == NEEDLE_OBJECT &&
        uuid_equal(&found->payload_id, &object->payload_id) && found->size_bytes == object->size_bytes &&
        found->crc32c == object->crc32c) {
        return true;
    }
    char how[96];
    snprintf(how, sizeof how, "damaged header at %" PRIu64 " in hot volume %016" PRIx64, entry->offset, entry->volume);
    return object_corrupt(error, object->bucket, object->key, object->version, how);
}

struct hot_reader *volume_reader_open(struct hot_store *base, const struct uuid *payload_id, struct error *error) {
    struct volume_store *store = volume_store_of(base);
    struct index_entry entry;
    struct volume *volume = pin_object(store, payload_id, &entry, error);
    if (volume == NULL) {
        return NULL;
    }
    struct volume_reader *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = base->ops;
    self->store = store;
    self->volume = volume;
    if (!load_header(self, &entry, error)) {
        volume_reader_close(&self->base);
        return NULL;
    }
    const struct provenance *provenance = &self->needle.needle.provenance;
    volume_payload_init(&self->payload, volume->file, volume->id, &self->needle);
    struct block_source source = volume_payload_source(&self->payload);
    block_reader_start(&self->blocks, &source, provenance->size_bytes, provenance->crc32c,
                       self->needle.needle.block_bytes);
    return &self->base;
}

const struct provenance *volume_reader_provenance(const struct hot_reader *reader) {
    return &((const struct volume_reader *)reader)->needle.needle.provenance;
}

int64_t volume_reader_read(struct hot_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    return block_reader_read(&self_of(reader)->blocks, offset, out, size, error);
}

uint32_t volume_reader_block_bytes(const struct hot_reader *reader) {
    return ((const struct volume_reader *)reader)->blocks.block_bytes;
}

bool volume_reader_block_sums(struct hot_reader *reader, uint64_t first, void *out, size_t count, struct error *error) {
    const struct block_source *source = &self_of(reader)->blocks.source;
    return source->sums(source->context, first, out, count, error);
}

void volume_reader_close(struct hot_reader *reader) {
    struct volume_reader *self = self_of(reader);
    block_reader_stop(&self->blocks);
    volume_needle_free(&self->needle);
    if (volume_set_unpin(&self->store->volumes, self->volume)) {
        volume_store_reap(self->store);
    }
    free(self);
}
