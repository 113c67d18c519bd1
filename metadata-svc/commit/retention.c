#include "metadata-svc/commit/retention.h"

#include "metadata-svc/commit/object_drops.h"
#include "metadata-svc/commit/payload_changes.h"
#include "metadata-svc/commit/policy_sweep.h"
#include "metadata-svc/store/layout.h"

enum {
    /* Versions that one commit, or one timer, takes away; what is left waits for the next. */
    TRIM_STEP = 4,
    PURGE_STEP = 64,
    /* Newer versions looked at, to tell whether one may have to be gone back to. */
    UNSETTLED_MAX = 64,
};

/* When a version is looked at again that could not go. */
#define RETRY_AFTER_US (60LL * 1000000)
#define RETRY_SOON_US (1LL * 1000000)

static void schedule(struct change_builder *builder, enum timer_kind kind, const struct record *record, int64_t due_us,
                     struct arena *arena) {
    struct timer timer = {due_us, kind, record->bucket, record->key, record->version};
    overlay_put(&builder->overlay, layout_timer_key(arena, &timer), (struct bytes){0});
}

static void schedule_again(struct change_builder *builder, const struct timer *timer, int64_t due_us,
                           struct arena *arena) {
    struct timer again = *timer;
    again.due_us = due_us;
    overlay_put(&builder->overlay, layout_timer_key(arena, &again), (struct bytes){0});
}

/* ---- taking versions away ---- */

enum removal { REMOVED, IS_GONE, IS_NEEDED };

static bool payload_is_kept(struct change_builder *builder, const struct record *record, struct arena *arena,
                            bool *kept, struct error *error) {
    struct payload_entry entry;
    *kept = false;
    return uuid_is_zero(&record->payload_id) ||
           record_store_get_payload(overlay_lookup(&builder->overlay), &record->payload_id, arena, &entry, kept, error);
}

/* One version fewer has the payload; the object of the last one goes. */
static bool unshare(struct change_builder *builder, const struct record *record, struct arena *arena,
                    struct error *error) {
    struct payload_share share;
    bool found;
    if (!record_store_get_share(overlay_lookup(&builder->overlay), &record->payload_id, arena, &share, &found, error)) {
        return false;
    }
    if (!found) {
        object_drops_add(builder, record, arena);
        return true;
    }
    struct bytes key = layout_share_key(arena, &record->payload_id);
    if (--share.versions <= 0) {
        overlay_delete(&builder->overlay, key);
        object_drops_add(builder, record, arena);
    } else {
        overlay_put(&builder->overlay, key, record_store_share_value(&share, arena));
    }
    return true;
}

/* Whether older versions share its payload: what is known of that is kept with the newest one that has it. */
static bool is_newest_sharer(struct change_builder *builder, const struct record *record, struct arena *arena, bool *is,
                             struct error *error) {
    struct payload_share share;
    bool found = false;
    if (!uuid_is_zero(&record->payload_id) &&
        !record_store_get_share(overlay_lookup(&builder->overlay), &record->payload_id, arena, &share, &found, error)) {
        return false;
    }
    *is = found && share.newest_version == record->version && share.versions > 1;
    return true;
}

/* Whether all versions above it may fail yet, or did: then it, or one below, is what readers get in
 * the end. */
static bool may_serve_again(struct change_builder *builder, const struct record *head, int64_t version,
                            struct arena *arena, bool *may, struct error *error) {
    *may = head->version - version <= UNSETTLED_MAX;
    for (int64_t above = head->version; *may && above > version; above--) {
        struct record record = *head;
        bool found = true;
        if (above != head->version && !record_store_get_version(overlay_lookup(&builder->overlay), head->bucket,
                                                                head->key, above, arena, &record, &found, error)) {
            return false;
        }
        *may = found && (record_state_in_flight(record.state) || record.state == RECORD_FAILED);
    }
    return true;
}

/* What could not go since newer versions are in flight goes soon after those are stored: the older
 * the latest one is, the longer is the wait. */
static int64_t retry_us(const struct change_builder *builder, const struct record *head) {
    int64_t age_us = builder->now_us - head->update_us;
    return builder->now_us + (age_us < RETRY_SOON_US    ? RETRY_SOON_US
                              : age_us > RETRY_AFTER_US ? RETRY_AFTER_US
                                                        : age_us);
}

/* Takes a version out of the history, unless a reader or its payload needs it. */
static bool remove_version(struct change_builder *builder, const struct record *head, int64_t version,
                           struct arena *arena, enum removal *removal, struct error *error) {
    struct record record;
    bool found;
    bool kept;
    if (!record_store_get_version(overlay_lookup(&builder->overlay), head->bucket, head->key, version, arena, &record,
                                  &found, error)) {
        return false;
    }
    if (!found) {
        *removal = IS_GONE;
        return true;
    }
    bool may_serve;
    bool shared;
    if (!payload_is_kept(builder, &record, arena, &kept, error) ||
        !is_newest_sharer(builder, &record, arena, &shared, error) ||
        !may_serve_again(builder, head, version, arena, &may_serve, error)) {
        return false;
    }
    if (kept || shared || may_serve || version == head->version || version == head->serving_version ||
        record_state_in_flight(record.state)) {
        *removal = IS_NEEDED;
        return true;
    }
    overlay_delete(&builder->overlay, layout_version_key(arena, head->bucket, head->key, version));
    *removal = REMOVED;
    return unshare(builder, &record, arena, error);
}

/* Lets the versions at and below `from` go, down to the first that is gone; a few at a time, and a
 * timer goes on with the rest, as there is when a policy begins to bound what it did not before. */
static bool trim(struct change_builder *builder, const struct record *head, int64_t from, struct arena *arena,
                 struct error *error) {
    for (int64_t version = from; version > 0; version--) {
        enum removal removal;
        if (from - version == TRIM_STEP) {
            struct record rest = {.bucket = head->bucket, .key = head->key, .version = version};
            schedule(builder, TIMER_TRIM, &rest, builder->now_us + 1, arena);
            break;
        }
        if (!remove_version(builder, head, version, arena, &removal, error)) {
            return false;
        }
        if (removal == IS_GONE) {
            break;
        }
        if (removal == IS_NEEDED) {
            struct record needed = {.bucket = head->bucket, .key = head->key, .version = version};
            schedule(builder, TIMER_TRIM, &needed, retry_us(builder, head), arena);
        }
    }
    return true;
}

bool retention_after_commit(struct change_builder *builder, const struct bucket *bucket, const struct record *record,
                            const struct record *old, struct arena *arena, struct error *error) {
    if (record->state == RECORD_DELETED) {
        schedule(builder, TIMER_PURGE, record, builder->now_us + bucket->delete_retention_us, arena);
    } else if (record->expire_us > 0) {
        schedule(builder, TIMER_EXPIRE, record, record->expire_us, arena);
    }
    if (old != NULL && bucket->version_retention_us > 0) {
        schedule(builder, TIMER_VERSION_AGE, old, builder->now_us + bucket->version_retention_us, arena);
    }
    return old == NULL || bucket->max_versions == 0 ||
           trim(builder, record, record->version - bucket->max_versions, arena, error);
}

/* ---- what fell due ---- */

/* The timer's bucket and head; `found` is false when either is gone. */
static bool find_head(struct change_builder *builder, const struct timer *timer, struct arena *arena,
                      struct bucket *bucket, struct record_head *head, bool *found, struct error *error) {
    if (!change_builder_find_bucket(builder, timer->bucket, arena, bucket, found, error)) {
        return false;
    }
    return !*found || record_store_get_head(overlay_lookup(&builder->overlay), timer->bucket, timer->key, arena, head,
                                            found, error);
}

static bool expire(struct change_builder *builder, const struct timer *timer, const struct bucket *bucket,
                   const struct record_head *head, struct commit_request *request, struct error *error) {
    const struct record *record = &head->record;
    int64_t due_us = bucket_expiry_of(bucket, record);
    if (record->version != timer->version || due_us == 0) {
        return true;
    }
    if (due_us > builder->now_us) {
        schedule_again(builder, timer, due_us, request->arena);
        return true;
    }
    struct record tombstone = record_make(record->bucket, record->key);
    tombstone.uid = record->uid;
    tombstone.version = record->version + 1;
    tombstone.state = RECORD_DELETED;
    tombstone.create_us = record->create_us;
    tombstone.update_us = builder->now_us;
    tombstone.cause = (struct cause){"", "", SYSTEM_CAUSE_RETENTION};
    return change_builder_add_version(builder, bucket, &tombstone, head, CHANGE_DELETED, request, error);
}

/* Keys that are new to the bucket begin above what was purged. That is no change of its policy,
 * so the bucket keeps its version and revision. */
static void raise_floor(struct change_builder *builder, const struct bucket *bucket, int64_t version,
                        struct arena *arena) {
    if (version > bucket->version_floor) {
        struct bucket raised = *bucket;
        raised.version_floor = version;
        overlay_put(&builder->overlay, layout_bucket_key(arena, bucket->name),
                    record_store_bucket_value(&raised, arena));
        change_builder_forget_bucket(builder);
    }
}

/* Takes up to PURGE_STEP versions of the tombstone's history away; `left` tells whether there
 * are more, `needed` whether some of those seen have to stay for now. */
static bool purge_history(struct change_builder *builder, const struct record *tombstone, struct arena *arena,
                          bool *left, bool *needed, struct error *error) {
    struct kv *kv = builder->overlay.kv;
    struct bytes first = layout_version_key(arena, tombstone->bucket, tombstone->key, 0);
    struct bytes name = bytes_of(first.data, first.size - sizeof(uint64_t));
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    unsigned seen = 0;
    bool good = true;
    *left = false;
    *needed = false;
    for (cursor->ops->cursor_seek(cursor, first); good && cursor->ops->cursor_valid(cursor);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (key.size != first.size || !bytes_start_with(key, name)) {
            break;
        }
        *left = ++seen > PURGE_STEP;
        if (*left) {
            break;
        }
        enum removal removal;
        good = remove_version(builder, tombstone, (int64_t)get_be64(key.data + name.size), arena, &removal, error);
        *needed = *needed || (good && removal == IS_NEEDED);
    }
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

/* Takes a deleted key away, its history first. */
static bool purge(struct change_builder *builder, const struct timer *timer, const struct bucket *bucket,
                  const struct record_head *head, struct arena *arena, struct error *error) {
    const struct record *tombstone = &head->record;
    if (tombstone->version != timer->version || tombstone->state != RECORD_DELETED) {
        return true;
    }
    int64_t due_us = tombstone->update_us + bucket->delete_retention_us;
    if (due_us > builder->now_us) {
        schedule_again(builder, timer, due_us, arena);
        return true;
    }
    bool left;
    bool needed;
    if (!purge_history(builder, tombstone, arena, &left, &needed, error)) {
        return false;
    }
    if (left || needed) {
        schedule_again(builder, timer, builder->now_us + (needed ? RETRY_AFTER_US : 1), arena);
        return true;
    }
    overlay_delete(&builder->overlay, layout_head_key(arena, tombstone->bucket, tombstone->key));
    raise_floor(builder, bucket, tombstone->version, arena);
    return true;
}

/* A version is as old, for its retention, as the one after it. */
static bool end_version_age(struct change_builder *builder, const struct timer *timer, const struct bucket *bucket,
                            const struct record_head *head, struct arena *arena, struct error *error) {
    struct record next;
    bool found;
    if (bucket->version_retention_us == 0 || timer->version >= head->record.version) {
        return true;
    }
    if (!record_store_get_version(overlay_lookup(&builder->overlay), timer->bucket, timer->key, timer->version + 1,
                                  arena, &next, &found, error)) {
        return false;
    }
    if (found && next.update_us + bucket->version_retention_us > builder->now_us) {
        schedule_again(builder, timer, next.update_us + bucket->version_retention_us, arena);
        return true;
    }
    enum removal removal;
    if (!remove_version(builder, &head->record, timer->version, arena, &removal, error)) {
        return false;
    }
    if (removal == IS_NEEDED) {
        schedule_again(builder, timer, builder->now_us + RETRY_AFTER_US, arena);
    }
    return true;
}

/* Whether max_versions still asks for the version to go. */
static bool is_beyond(const struct bucket *bucket, const struct record_head *head, int64_t version) {
    return bucket->max_versions > 0 && version <= head->record.version - bucket->max_versions;
}

static bool trim_again(struct change_builder *builder, const struct timer *timer, const struct bucket *bucket,
                       const struct record_head *head, struct arena *arena, struct error *error) {
    if (!is_beyond(bucket, head, timer->version)) {
        return true;
    }
    enum removal removal;
    if (!remove_version(builder, &head->record, timer->version, arena, &removal, error)) {
        return false;
    }
    if (removal == IS_NEEDED) {
        schedule_again(builder, timer, retry_us(builder, &head->record), arena);
    }
    return removal != REMOVED || trim(builder, &head->record, timer->version - 1, arena, error);
}

/* ---- what a new policy makes due ---- */

bool retention_review_version(struct change_builder *builder, const struct bucket *bucket,
                              const struct record_head *head, int64_t version, struct arena *arena,
                              struct error *error) {
    struct timer timer = {0, TIMER_VERSION_AGE, head->record.bucket, head->record.key, version};
    if (!is_beyond(bucket, head, version)) {
        return end_version_age(builder, &timer, bucket, head, arena, error);
    }
    enum removal removal;
    timer.kind = TIMER_TRIM;
    if (!remove_version(builder, &head->record, version, arena, &removal, error)) {
        return false;
    }
    if (removal == IS_NEEDED) {
        schedule_again(builder, &timer, retry_us(builder, &head->record), arena);
    }
    return true;
}

void retention_review_head(struct change_builder *builder, const struct bucket *bucket, const struct record *record,
                           struct arena *arena) {
    bool deleted = record->state == RECORD_DELETED;
    int64_t due_us = deleted ? record->update_us + bucket->delete_retention_us : bucket_expiry_of(bucket, record);
    if (due_us > 0) {
        schedule(builder, deleted ? TIMER_PURGE : TIMER_EXPIRE, record,
                 due_us > builder->now_us ? due_us : builder->now_us + 1, arena);
    }
}

/* ---- timers ---- */

static bool run_timer(struct change_builder *builder, const struct timer *timer, struct commit_request *request,
                      struct error *error) {
    struct arena *arena = request->arena;
    struct bucket bucket;
    struct record_head head;
    bool found;
    if (timer->kind == TIMER_SWEEP) {
        return policy_sweep_step(builder, timer, arena, error);
    }
    if (!find_head(builder, timer, arena, &bucket, &head, &found, error)) {
        return false;
    }
    overlay_delete(&builder->overlay, layout_timer_key(arena, timer));
    if (!found) {
        return true;
    }
    switch (timer->kind) {
    case TIMER_EXPIRE:
        return expire(builder, timer, &bucket, &head, request, error);
    case TIMER_PURGE:
        return purge(builder, timer, &bucket, &head, arena, error);
    case TIMER_VERSION_AGE:
        return end_version_age(builder, timer, &bucket, &head, arena, error);
    case TIMER_TRIM:
        return trim_again(builder, timer, &bucket, &head, arena, error);
    case TIMER_PAYLOAD:
        return change_payload_due(builder, timer, request, error);
    case TIMER_SWEEP: /* above: it has no key */
    case TIMER_MARK:
        break; /* not one that is due */
    }
    return true; /* of a later release: not ours to keep */
}

bool change_timers(struct change_builder *builder, struct commit_request *request) {
    request->released = arena_alloc(request->arena, request->timer_count * sizeof *request->released);
    for (size_t i = 0; i < request->timer_count; i++) {
        if (!run_timer(builder, &request->timers[i], request, &request->error)) {
            return false;
        }
    }
    return true;
}
