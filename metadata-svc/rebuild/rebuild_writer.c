#include "metadata-svc/rebuild/rebuild_writer.h"

#include <stdio.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "metadata-svc/commit/payload_entries.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"

enum { BATCH_OPERATIONS = 1000 };

struct writing {
    struct change_builder builder;
    struct kv *kv;
    const struct merge_sources *sources;
    struct rebuild_totals *totals;
    const struct gathered_bucket *buckets;
    size_t bucket_count;
    size_t bucket_at; /* that of the last key */
    struct error *error;
};

static bool flush(struct writing *writing) {
    struct kv_batch *batch = &writing->builder.overlay.batch;
    bool good = batch->count == 0 || (FAILPOINT("rebuild.write.before") &&
                                      writing->kv->ops->write(writing->kv, batch, false, writing->error) &&
                                      FAILPOINT("rebuild.write.after"));
    overlay_clear(&writing->builder.overlay);
    return good;
}

static void put(struct writing *writing, struct bytes key, struct bytes value) {
    overlay_append(&writing->builder.overlay, key, value);
}

/* ---- buckets ---- */

/* Where not all events are known, keys that nothing tells of may have had versions as high as the
 * highest that is known; new keys begin above those. */
static int64_t floor_of(const struct gathered_bucket *seen, bool all_events) {
    int64_t floor = seen->bucket.version_floor;
    return all_events || floor > seen->newest_version ? floor : seen->newest_version;
}

static void write_bucket(struct writing *writing, const struct gathered_bucket *seen, bool all_events,
                         struct arena *arena) {
    struct bucket bucket = seen->bucket;
    struct cause cause = {"", "rebuilt", SYSTEM_CAUSE_OPERATOR};
    struct change change = {
        .type = seen->known ? CHANGE_BUCKET_UPDATED : CHANGE_BUCKET_CREATED,
        .previous_revision = bucket.revision,
        .previous_version = seen->known ? bucket.version : 0,
    };
    bucket.version_floor = floor_of(seen, all_events);
    bucket.revision = change_builder_next_revision(&writing->builder);
    if (!seen->known) {
        bucket.create_us = bucket.update_us = writing->builder.now_us;
        writing->totals->default_buckets++;
    }
    put(writing, layout_bucket_key(arena, bucket.name), record_store_bucket_value(&bucket, arena));
    change_builder_log_bucket(&writing->builder, &change, &bucket, &cause, arena);
    writing->totals->buckets++;
}

static void write_floor(void *context, const char *bucket, int64_t floor) {
    struct writing *writing = context;
    struct arena arena;
    arena_init(&arena);
    put(writing, layout_floor_key(&arena, bucket), record_store_floor_value(floor, &arena));
    arena_free(&arena);
}

static bool write_buckets(struct writing *writing, struct gathered *gathered) {
    struct gathered_counts counts;
    gathered_counts(gathered, &counts);
    bool all_events = counts.first_event == 1 && counts.missing_events == 0;
    writing->bucket_count = gathered_buckets(gathered, &writing->buckets);
    for (size_t i = 0; i < writing->bucket_count; i++) {
        struct arena arena;
        arena_init(&arena);
        write_bucket(writing, &writing->buckets[i], all_events, &arena);
        arena_free(&arena);
        if (writing->builder.overlay.batch.count >= BATCH_OPERATIONS && !flush(writing)) {
            return false;
        }
    }
    gathered_each_floor(gathered, write_floor, writing);
    return flush(writing);
}

/* Buckets and keys come in the same order. */
static const struct bucket *bucket_of(struct writing *writing, const char *name) {
    while (writing->bucket_at < writing->bucket_count &&
           strcmp(writing->buckets[writing->bucket_at].bucket.name, name) < 0) {
        writing->bucket_at++;
    }
    bool found = writing->bucket_at < writing->bucket_count &&
                 strcmp(writing->buckets[writing->bucket_at].bucket.name, name) == 0;
    return found ? &writing->buckets[writing->bucket_at].bucket : NULL;
}

/* ---- versions ---- */

static void write_timer(struct writing *writing, enum timer_kind kind, const struct record *record, int64_t due_us,
                        struct arena *arena) {
    struct timer timer = {due_us, kind, record->bucket, record->key, record->version};
    put(writing, layout_timer_key(arena, &timer), (struct bytes){0});
}

/* As retention_after_commit, for all versions at once. */
static void write_timers(struct writing *writing, const struct merged_key *merged, const struct bucket *bucket,
                         struct arena *arena) {
    const struct record *head = &merged->versions[merged->count - 1].record;
    if (head->state == RECORD_DELETED) {
        write_timer(writing, TIMER_PURGE, head, head->update_us + bucket->delete_retention_us, arena);
    } else if (bucket_expiry_of(bucket, head) > 0) {
        write_timer(writing, TIMER_EXPIRE, head, bucket_expiry_of(bucket, head), arena);
    }
    for (size_t i = 0; i + 1 < merged->count; i++) {
        const struct record *record = &merged->versions[i].record;
        if (bucket->version_retention_us > 0) {
            int64_t end_us = merged->versions[i + 1].record.update_us + bucket->version_retention_us;
            write_timer(writing, TIMER_VERSION_AGE, record, end_us, arena);
        }
        if (bucket->max_versions > 0 && record->version <= head->version - bucket->max_versions) {
            write_timer(writing, TIMER_TRIM, record, writing->builder.now_us, arena);
        }
    }
}

/* Whether the payload has to wait for more. */
static bool waits(struct writing *writing, const struct record *record, const struct bucket *bucket, int *place) {
    const struct merge_sources *sources = writing->sources;
    if (record->state == RECORD_AWAITING_PAYLOAD) {
        *place = PAYLOAD_AWAITED;
        writing->totals->awaited++;
        return true;
    }
    *place = PAYLOAD_SPOOLED;
    writing->totals->staged += record->state == RECORD_STAGED;
    bool wanted = record->state == RECORD_FAILED || !bucket_policy_satisfied(bucket, record);
    return record->state == RECORD_STAGED ||
           (wanted && sources->is_spooled(sources->self, &record->payload_id, record->size, record->crc32c));
}

/* What an event tells of a failure: "REASON: message". */
static void write_failure(struct writing *writing, const struct record *record, struct arena *arena) {
    const char *told = record->cause.reason;
    size_t size = strcspn(told, ":");
    struct payload_failure failure = {
        .reason = arena_printf(arena, "%.*s", (int)size, told),
        .message = told[size] != '\0' ? told + size + 1 + strspn(told + size + 1, " ") : "",
        .fail_us = writing->builder.now_us,
    };
    put(writing, layout_failure_key(arena, record->bucket, &record->payload_id),
        record_store_failure_value(&failure, arena));
}

static void write_payload(struct writing *writing, const struct merged_version *holder, const struct bucket *bucket,
                          struct arena *arena) {
    const struct record *record = &holder->record;
    struct payload_entry entry = {
        .bucket = record->bucket,
        .key = record->key,
        .version = record->version,
        .size = record->size,
        .crc32c = record->crc32c,
    };
    int place;
    if (waits(writing, record, bucket, &place)) {
        entry.place = place;
        payload_entry_put(&writing->builder, record, &entry, arena);
        if (record->state == RECORD_FAILED) {
            write_failure(writing, record, arena);
        }
    }
    if (holder->shared_by > 1) {
        struct payload_share share = {record->version, holder->shared_by, *record};
        put(writing, layout_share_key(arena, &record->payload_id), record_store_share_value(&share, arena));
    }
}

/* Logs what is not as events told, oldest first; `last` is then the key's newest revision. */
static void log_changes(struct writing *writing, struct merged_key *merged, int64_t *last, struct arena *arena) {
    const struct record *head = &merged->versions[merged->count - 1].record;
    *last = 0;
    for (size_t i = 0; i < merged->count; i++) {
        int64_t revision = merged->versions[i].record.revision;
        *last = revision > *last ? revision : *last;
    }
    for (size_t i = 0; i < merged->count; i++) {
        struct merged_version *version = &merged->versions[i];
        if (version->change == 0) {
            continue;
        }
        struct change change = {.type = version->change, .previous_revision = *last, .previous_version = head->version};
        version->record.revision = change_builder_next_revision(&writing->builder);
        version->record.serving_version = head->serving_version;
        *last = version->record.revision;
        change_builder_log_record(&writing->builder, &change, &version->record, record_encode(&version->record, arena),
                                  arena);
    }
}

static void write_versions(struct writing *writing, const struct merged_key *merged, int64_t last_revision,
                           struct arena *arena) {
    for (size_t i = 0; i + 1 < merged->count; i++) {
        const struct record *record = &merged->versions[i].record;
        put(writing, layout_version_key(arena, record->bucket, record->key, record->version),
            record_store_version_value(record, arena));
    }
    struct record_head head = {merged->versions[merged->count - 1].record, last_revision};
    put(writing, layout_head_key(arena, head.record.bucket, head.record.key), record_store_head_value(&head, arena));
}

static void count(struct writing *writing, const struct gathered_key *key, const struct merged_key *merged) {
    struct rebuild_totals *totals = writing->totals;
    if (merged->missing > 0 && totals->missing == 0) {
        snprintf(totals->missing_example, sizeof totals->missing_example, "%s/%.180s", key->bucket, key->key);
    }
    if (merged->lost_payloads > 0 && totals->lost_payloads == 0) {
        snprintf(totals->lost_example, sizeof totals->lost_example, "%s/%.180s", key->bucket, key->key);
    }
    totals->orphans += merged->orphans;
    totals->missing += merged->missing;
    totals->lost_payloads += merged->lost_payloads;
    totals->from_objects += merged->from_objects;
    totals->taken_away += merged->taken_away;
    totals->versions += (int64_t)merged->count;
    totals->keys += merged->count > 0;
    totals->deleted_keys += merged->count > 0 && merged->versions[merged->count - 1].record.state == RECORD_DELETED;
}

static bool write_key(void *context, const struct gathered_key *key, struct arena *arena, struct error *error) {
    struct writing *writing = context;
    const struct bucket *bucket = bucket_of(writing, key->bucket);
    if (bucket == NULL) {
        return true; /* nothing but what is damaged beyond its name */
    }
    struct merged_key merged = key_merge(key, bucket, writing->sources, arena);
    (void)error;
    count(writing, key, &merged);
    if (merged.count > 0) {
        int64_t last_revision;
        log_changes(writing, &merged, &last_revision, arena);
        write_versions(writing, &merged, last_revision, arena);
        write_timers(writing, &merged, bucket, arena);
        for (size_t i = 0; i < merged.count; i++) {
            if (merged.versions[i].is_payload_holder) {
                write_payload(writing, &merged.versions[i], bucket, arena);
            }
        }
    }
    return writing->builder.overlay.batch.count < BATCH_OPERATIONS || flush(writing);
}

bool rebuild_write(struct gathered *gathered, const struct merge_sources *sources,
                   const struct rebuild_options *options, struct kv *kv, struct rebuild_totals *totals,
                   struct error *error) {
    struct gathered_counts counts;
    gathered_counts(gathered, &counts);
    *totals = (struct rebuild_totals){0};
    struct writing writing = {
        .builder = {.shard = options->shard,
                    .revision = counts.newest_revision + REBUILD_REVISIONS_SKIPPED,
                    .now_us = options->now_us,
                    .redrive_after_us = options->redrive_after_us,
                    .failed_retention_us = options->failed_retention_us},
        .kv = kv,
        .sources = sources,
        .totals = totals,
        .error = error,
    };
    overlay_init(&writing.builder.overlay, kv);
    totals->first_revision = writing.builder.revision + 1;
    bool good =
        write_buckets(&writing, gathered) && gathered_each_key(gathered, write_key, &writing, error) && flush(&writing);
    totals->last_revision = writing.builder.revision;
    overlay_free(&writing.builder.overlay);
    if (good && totals->buckets == 0) {
        return error_set(error, ERROR_NOT_FOUND, "NOTHING_TO_REBUILD",
                         "neither the event stream nor the objects tell of any bucket");
    }
    return good;
}

/* ---- the check ---- */

struct checking {
    struct kv_lookup lookup;
    int64_t orphans;
    int64_t versions;
    struct error *error;
};

static bool set_not_whole(struct error *error, const struct gathered_key *key, int64_t version, const char *what) {
    return error_set(error, ERROR_DATA_LOSS, "REBUILD_NOT_WHOLE", "version %lld of \"%s\" in bucket \"%s\" %s",
                     (long long)version, key->key, key->bucket, what);
}

static bool check_object(struct checking *checking, const struct gathered_key *key,
                         const struct gathered_object *object, struct arena *arena) {
    const struct record *found = &object->record;
    struct record record;
    bool exists;
    if (!record_store_find_object(checking->lookup, key->bucket, key->key, found->version, &found->payload_id, arena,
                                  &record, &exists, checking->error)) {
        return false;
    }
    if (!exists) {
        checking->orphans++;
        return true;
    }
    for (size_t i = 0; record.state == RECORD_STORED && i < found->location_count; i++) {
        if (record_find_location(&record, found->locations[i].tier, found->locations[i].replica) < 0) {
            return set_not_whole(checking->error, key, found->version, "does not tell of a copy that was found");
        }
    }
    return true;
}

static bool check_key(void *context, const struct gathered_key *key, struct arena *arena, struct error *error) {
    struct checking *checking = context;
    for (size_t i = 0; i < key->count; i++) {
        const struct gathered_version *version = &key->versions[i];
        struct record record;
        bool found;
        if (!record_store_get_version(checking->lookup, key->bucket, key->key, version->version, arena, &record, &found,
                                      error)) {
            return false;
        }
        checking->versions += found;
        for (size_t j = 0; j < version->object_count; j++) {
            bool named = !uuid_is_zero(&version->objects[j].record.payload_id);
            if (named && !check_object(checking, key, &version->objects[j], arena)) {
                return false;
            }
        }
    }
    return true;
}

bool rebuild_check(struct gathered *gathered, struct kv *kv, const struct rebuild_totals *totals, struct error *error) {
    struct checking checking = {.lookup = kv_lookup_of(kv), .error = error};
    if (!gathered_each_key(gathered, check_key, &checking, error)) {
        return false;
    }
    return (checking.versions == totals->versions && checking.orphans == totals->orphans) ||
           error_set(error, ERROR_DATA_LOSS, "REBUILD_NOT_WHOLE",
                     "%lld versions and %lld orphans are there, %lld and %lld were to be", (long long)checking.versions,
                     (long long)checking.orphans, (long long)totals->versions, (long long)totals->orphans);
}
