/* What is left of lost metadata, gathered from what still tells of it: change events, and the
 * objects in the tiers. Of each version it keeps the newest image that an event has, and what the objects
 * say; key_merge.h makes records of the two.
 *
 * Held in a LevelDB of its own, so that memory does not limit it, in a directory that is thrown away
 * afterwards. Events come first, in the order of their revisions, then objects in any order; both
 * may come again. One thread. */
#ifndef WAYBILL_REBUILD_GATHERED_H
#define WAYBILL_REBUILD_GATHERED_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "metadata-svc/store/record.h"
#include "waybill/v1/admin_service.pb-c.h"
#include "waybill/v1/event.pb-c.h"

struct gathered;

struct gathered *gathered_open(const char *directory, struct error *error);
/* NULL is fine. */
void gathered_close(struct gathered *gathered);

/* The after-image of a commit. DATA_LOSS (RECORD_CORRUPT) where it holds what is never written; that event
 * is then left out, and the others may go on. */
bool gathered_add_event(struct gathered *gathered, const Waybill__V1__ChangeEvent *event, struct error *error);
/* An object that was found; the record has its place as its only location. DATA_LOSS as above. */
bool gathered_add_object(struct gathered *gathered, const Waybill__V1__StoredObject *object, struct error *error);

/* What was seen so far. */
struct gathered_counts {
    int64_t events;
    int64_t first_event; /* revisions; 0: none */
    int64_t last_event;
    int64_t missing_events;  /* between the two */
    int64_t newest_revision; /* that an event or an object tells of */
    int64_t objects;
    int64_t damaged_objects;
    int64_t objects_of_deleted_buckets; /* left out */
};
void gathered_counts(const struct gathered *gathered, struct gathered_counts *counts);

/* A bucket that there is. */
struct gathered_bucket {
    struct bucket bucket;   /* with defaults where no event told of it */
    bool known;             /* an event did */
    int64_t newest_version; /* of any key that was seen in it */
};
/* All of them in the order of their names, as they are now; valid until the next call. */
size_t gathered_buckets(struct gathered *gathered, const struct gathered_bucket **buckets);
/* The version floors of buckets that were deleted and left one. */
void gathered_each_floor(const struct gathered *gathered,
                         void (*visit)(void *context, const char *bucket, int64_t floor), void *context);

/* One object, by what it says of itself. */
struct gathered_object {
    struct record record; /* its locations are where it was found */
    bool damaged;         /* only what is known; without a payload id only its name is */
};

struct gathered_version {
    int64_t version;
    bool has_image; /* an event told of it */
    struct record image;
    struct gathered_object *objects; /* more than one: under several payload ids */
    size_t object_count;
};

/* All versions of a key, the oldest first; at least one. */
struct gathered_key {
    const char *bucket;
    const char *key;
    struct gathered_version *versions;
    size_t count;
};

/* Called for each key, in the order of bucket and key. What it sees is valid during the call and lives
 * in the arena. False ends the walk. */
typedef bool gathered_visitor(void *context, const struct gathered_key *key, struct arena *arena, struct error *error);
bool gathered_each_key(struct gathered *gathered, gathered_visitor *visit, void *context, struct error *error);

#endif
