/* One change of the object index together with the figures that go with it: objects and bytes
 * of each volume, and of the store. Both take effect or neither does.
 *
 *   start ▸ put / move / remove / set_volume ... ▸ apply ▸ end
 *
 * start takes the store's index lock and end gives it back. One change may name a payload id
 * once only.
 *
 * A needle that dies by the change gets a mark in its volume's dead list before the index is
 * written. So a list may be ahead of the index, never behind, but for what power loss takes;
 * a start brings the index up to the lists. */
#ifndef WAYBILL_HOT_INDEX_CHANGE_H
#define WAYBILL_HOT_INDEX_CHANGE_H

#include "object-svc/hot/volume_store_parts.h"

/* By how much the figures of one volume change. */
struct volume_delta {
    struct volume *volume;
    int64_t objects;
    int64_t bytes;
    uint64_t sum;
    uint64_t indexed_bytes;
    bool sealed;
    uint64_t dead_bytes; /* where the marks go */
    struct buffer marks;
};

struct index_change {
    struct volume_store *store;
    struct object_index_batch *batch;
    struct volume_delta *deltas;
    size_t count;
    size_t capacity;
    int64_t objects;
    int64_t object_bytes;
    size_t deaths; /* needles that became garbage: some volume may be all garbage now */
    bool durable;  /* set it to have lists and index synced by apply */
};

void index_change_start(struct index_change *change, struct volume_store *store);
/* Adds an object; an older copy under its payload id dies. What is known of a cold copy stays. */
bool index_change_put(struct index_change *change, const struct index_entry *entry, struct error *error);
/* A needle was copied to `to`: the entry follows if it still points to where the copy was made
 * from, else the copy dies. */
bool index_change_move(struct index_change *change, uint64_t from_volume, uint64_t from_offset,
                       const struct index_entry *to, struct error *error);
/* An object that is not there is fine. */
bool index_change_remove(struct index_change *change, const struct uuid *payload_id, struct error *error);
/* Takes out an entry whose needle has a mark already. */
void index_change_drop(struct index_change *change, const struct index_entry *entry);
/* Gives a mark to a needle that is not in the index. */
void index_change_mark(struct index_change *change, const struct index_entry *entry);
/* Records how far the volume is indexed, and whether it is sealed. */
void index_change_set_volume(struct index_change *change, struct volume *volume, uint64_t indexed_bytes, bool sealed);
/* Records how much of the volume's dead list is known. */
void index_change_set_dead(struct index_change *change, struct volume *volume, uint64_t dead_bytes);
/* Writes it. Where a dead list cannot be written nothing changes; where the index cannot, the
 * store is read-only from then on. */
bool index_change_apply(struct index_change *change, struct error *error);
void index_change_end(struct index_change *change);

#endif
