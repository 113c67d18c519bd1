/* A record store made of what was gathered, and the check that it holds all of that. */
#ifndef WAYBILL_REBUILD_REBUILD_WRITER_H
#define WAYBILL_REBUILD_REBUILD_WRITER_H

#include "metadata-svc/rebuild/gathered.h"
#include "metadata-svc/rebuild/key_merge.h"
#include "metadata-svc/store/kv.h"

/* Revisions go on so far above the newest that was seen. Commits that nothing tells of may have had
 * revisions above it, and consumers may have seen those: the hole shows them that they have to read the records. */
enum { REBUILD_REVISIONS_SKIPPED = 1000000 };

struct rebuild_options {
    const char *shard;
    int64_t now_us;
    int64_t redrive_after_us; /* as the commit engine has them */
    int64_t failed_retention_us;
};

struct rebuild_totals {
    int64_t buckets;
    int64_t default_buckets; /* whose policy is not known */
    int64_t keys;            /* the deleted ones too */
    int64_t deleted_keys;
    int64_t versions;
    int64_t from_objects; /* versions that no event tells of */
    int64_t staged;       /* payloads that wait in the spool */
    int64_t awaited;      /* payloads that a producer is to bring */
    int64_t orphans;      /* objects that no version needs */
    int64_t missing;      /* STORED payloads of which no copy was found */
    int64_t lost_payloads;
    int64_t taken_away;
    int64_t first_revision; /* of the new change log */
    int64_t last_revision;
    char missing_example[256]; /* bucket/key; "" for none */
    char lost_example[256];
};

/* Fills the empty store: records, their versions, timers, and a change log that tells of every bucket and
 * of every version that is not as events told. Not synced; closing the store and syncing its files is the
 * caller's. */
bool rebuild_write(struct gathered *gathered, const struct merge_sources *sources,
                   const struct rebuild_options *options, struct kv *kv, struct rebuild_totals *totals,
                   struct error *error);

/* Holds the store to what was gathered, as a scrub would: every version can be read, and every object that was
 * found is what a version says of its place, but for the orphans that were counted. DATA_LOSS
 * (REBUILD_NOT_WHOLE). */
bool rebuild_check(struct gathered *gathered, struct kv *kv, const struct rebuild_totals *totals, struct error *error);

#endif
