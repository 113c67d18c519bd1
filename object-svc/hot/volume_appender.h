/* The inside of an appender, for volume_appender.c (objects and batches) and
 * appender_volume.c (the volume that they go to). */
#ifndef WAYBILL_HOT_VOLUME_APPENDER_H
#define WAYBILL_HOT_VOLUME_APPENDER_H

#include "object-svc/hot/volume_store_parts.h"
#include "object-svc/hot/volume_writer.h"

/* One object of the batch. */
struct appended {
    struct index_entry entry;
    uint64_t from_volume; /* where a move found it */
    uint64_t from_offset;
};

struct volume_appender {
    struct hot_appender base;
    struct volume_store *store;
    bool moves;            /* it copies objects of other volumes, and their entries follow */
    struct volume *volume; /* NULL until the first object */
    struct volume_writer writer;
    bool in_object;
    bool lost; /* a write failed: the batch is gone, and commit has to say so */
    struct error loss;
    struct appended object;  /* the one begun */
    uint64_t promised_bytes; /* of it, not yet written */
    /* The batch: what was finished since the last commit. */
    struct appended *objects;
    struct uuid *payload_ids; /* of the objects, close together for quick search */
    size_t count;
    size_t capacity;
};

/* volume_appender.c: after a failed write nothing of the batch may be reported. Returns false. */
bool appender_lose_batch(struct volume_appender *self, struct error *error);
/* Durable first, then in the index. */
bool appender_commit_batch(struct volume_appender *self, struct error *error);

/* appender_volume.c: has a volume with room for so many bytes; seals those that have none. An
 * object that is larger than a volume gets a fresh one. */
bool appender_make_room(struct volume_appender *self, uint64_t wanted, struct error *error);
/* Goes on in that volume, which is pinned and marked as appending. */
void appender_take_volume(struct volume_appender *self, struct volume *volume);
/* Ends the volume: what the batch holds is committed, then it is sealed and let go. */
bool appender_seal_volume(struct volume_appender *self, struct error *error);
/* Lets the volume go, as far as it is committed. One whose end is not known gets no more. */
void appender_release_volume(struct volume_appender *self);

#endif
