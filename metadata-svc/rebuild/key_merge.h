/* The records of one key, made of what events and objects tell of it. The rules:
 *
 *   - An event's image tells what a version is. Where none does, its object tells: the version is STORED, as
 *     the object says. Of two objects that claim the same version, the one of the image counts; without
 *     an image the one committed later. The others are orphans.
 *   - Where the bytes are, the objects tell: a place that was searched holds what was found in
 *     it. Of places that were not searched the image is believed, and so it is where no
 *     copy was found at all: then the record tells what is missing, and reads and scrubs tell it, too.
 *   - A version that waits for its payload becomes STORED where its object was found, goes on
 *     waiting where the spool has the payload or a producer is to bring it, and has FAILED where
 *     the payload is lost.
 *   - A superseded version whose bytes are nowhere, in a bucket that takes old versions away, was
 *     taken away.
 *   - Versions that share a payload agree on it.
 *
 * Pure functions. */
#ifndef WAYBILL_REBUILD_KEY_MERGE_H
#define WAYBILL_REBUILD_KEY_MERGE_H

#include "metadata-svc/rebuild/gathered.h"

/* Where was searched for objects, and what the spool has. */
struct merge_sources {
    const char *const *replicas; /* whose hot volumes were searched */
    size_t replica_count;
    bool cold;
    /* Whether the spool has the payload, whole. */
    bool (*is_spooled)(void *self, const struct uuid *payload_id, int64_t size, uint32_t crc32c);
    void *self;
};

struct merged_version {
    struct record record;
    /* How it differs from what events told of it; 0: not at all. Only the newest of those that share a
     * payload tells of a change of it. */
    enum change_type change;
    bool is_payload_holder; /* the newest of those that have this payload */
    int64_t shared_by;      /* of the holder: how many versions have the payload */
};

struct merged_key {
    struct merged_version *versions; /* the oldest first; serving_version is right in the last */
    size_t count;                    /* 0: nothing is left of the key */
    int64_t orphans;                 /* objects that no version needs */
    int64_t missing;                 /* STORED payloads of which no copy was found */
    int64_t lost_payloads;           /* became FAILED */
    int64_t from_objects;            /* versions that no event tells of */
    int64_t taken_away;              /* left out by the last rule but one */
};

/* In the arena. */
struct merged_key key_merge(const struct gathered_key *key, const struct bucket *bucket,
                            const struct merge_sources *sources, struct arena *arena);

#endif
