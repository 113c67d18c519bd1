/* One change of the object index together with the figures that go with it: objects and bytes
 * of each volume, and of the store. Both take effect or neither does.
 *
 *   start ▸ put / remove / note_cold_copy / set_volume ... ▸ apply ▸ end
 *
 * start takes the store's index lock and end gives it back. One change may name a payload id
 * once only. */
#ifndef WAYBILL_HOT_INDEX_CHANGE_H
#define WAYBILL_HOT_INDEX_CHANGE_H

#include "object-svc/hot/volume_store_parts.h"

/* By how much the figures of one volume change. */
struct volume_delta {
    struct volume *volume;
    int64_t objects;
    int64_t bytes;
    uint64_t indexed_bytes;
    bool sealed;
};

struct index_change {
    struct volume_store *store;
    struct object_index_batch *batch;
    struct volume_delta *deltas;
    size_t count;
    size_t capacity;
    int64_t objects;
    int64_t object_bytes;
};

void index_change_start(struct index_change *change, struct volume_store *store);
/* Adds an object; an older copy under its payload id becomes garbage. With `if_newer`, a copy
 * that was stored later stays, and the new one is garbage. */
bool index_change_put(struct index_change *change, const struct index_entry *entry, bool if_newer, struct error *error);
/* An object that is not there is fine. */
bool index_change_remove(struct index_change *change, const struct uuid *payload_id, struct error *error);
/* Records how far the volume is indexed, and whether it is sealed. */
void index_change_set_volume(struct index_change *change, struct volume *volume, uint64_t indexed_bytes, bool sealed);
/* Writes it. On failure the store is read-only. */
bool index_change_apply(struct index_change *change, struct error *error);
void index_change_end(struct index_change *change);

#endif
