#include "metadata-svc/store/change_log.h"

#include "common/base/failpoint.h"
#include "metadata-svc/store/layout.h"
#include "waybill/v1/event.pb-c.h"

static bool at_change(const struct kv_cursor *cursor) {
    if (!cursor->ops->cursor_valid(cursor)) {
        return false;
    }
    struct bytes key = cursor->ops->cursor_key(cursor);
    return key.size > 0 && key.data[0] == LAYOUT_CHANGE_PREFIX;
}

static int64_t revision_at(const struct kv_cursor *cursor) {
    return layout_number_of(cursor->ops->cursor_key(cursor));
}

bool change_log_bounds(struct kv *kv, int64_t *oldest, int64_t *newest, struct error *error) {
    static const uint8_t first[] = {LAYOUT_CHANGE_PREFIX};
    static const uint8_t after[] = {LAYOUT_CHANGE_PREFIX + 1};
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    *oldest = 0;
    *newest = 0;
    kv->ops->cursor_seek(cursor, bytes_of(first, sizeof first));
    if (at_change(cursor)) {
        *oldest = revision_at(cursor);
        kv->ops->cursor_seek_before(cursor, bytes_of(after, sizeof after));
        *newest = at_change(cursor) ? revision_at(cursor) : *oldest;
    }
    bool good = kv->ops->cursor_check(cursor, error);
    kv->ops->cursor_close(cursor);
    return good;
}

static bool trimmed(int64_t oldest, int64_t wanted, struct error *error) {
    error_set(error, ERROR_OUT_OF_RANGE, "REVISION_TRIMMED",
              "revision %lld is no longer kept; the oldest one is %lld: read the records, then watch from there",
              (long long)wanted, (long long)oldest);
    error_set_detail(error, "oldest_revision", "%lld", (long long)oldest);
    return false;
}

bool change_log_read(struct kv *kv, int64_t revision, change_log_visitor *visit, void *context, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    bool good = true;
    int64_t expected = revision;
    kv->ops->cursor_seek(cursor, layout_change_key(&arena, revision));
    if (at_change(cursor) && revision_at(cursor) > revision) {
        int64_t found = revision_at(cursor);
        kv->ops->cursor_seek_before(cursor, layout_change_key(&arena, revision));
        if (at_change(cursor)) {
            good = error_set(error, ERROR_DATA_LOSS, "CHANGE_LOG_GAP", "revision %lld is missing in the change log",
                             (long long)revision);
        } else {
            good = trimmed(found, revision, error);
        }
        goto cleanup;
    }
    for (; at_change(cursor); kv->ops->cursor_next(cursor), expected++) {
        if (revision_at(cursor) != expected) {
            good = error_set(error, ERROR_DATA_LOSS, "CHANGE_LOG_GAP", "revision %lld is missing in the change log",
                             (long long)expected);
            goto cleanup;
        }
        if (!visit(context, expected, kv->ops->cursor_value(cursor))) {
            break;
        }
    }
    good = kv->ops->cursor_check(cursor, error);
cleanup:
    kv->ops->cursor_close(cursor);
    arena_free(&arena);
    return good;
}

/* Adds the removal of an entry, and of what remembers the request behind it, if it was committed
 * before keep_since_us. */
static bool trim_one(struct kv_batch *batch, struct bytes key, struct bytes event, int64_t keep_since_us) {
    struct arena arena;
    struct uuid request_id;
    arena_init(&arena);
    int64_t commit_us = 0;
    Waybill__V1__ChangeEvent *message =
        waybill__v1__change_event__unpack(arena_protobuf(&arena), event.size, event.data);
    if (message != NULL && message->commit_time != NULL) {
        commit_us = message->commit_time->seconds * 1000000 + message->commit_time->nanos / 1000;
    }
    bool old = commit_us < keep_since_us;
    if (old) {
        kv_batch_delete(batch, key);
    }
    if (old && message != NULL && uuid_parse_text(message->request_id, &request_id)) {
        kv_batch_delete(batch, layout_request_key(&arena, &request_id));
    }
    arena_free(&arena);
    return old;
}

int64_t change_log_trim(struct kv *kv, int64_t below, int64_t keep_since_us, int64_t max_entries, struct error *error) {
    int64_t oldest;
    int64_t newest;
    if (!change_log_bounds(kv, &oldest, &newest, error)) {
        return -1;
    }
    if (below > newest) {
        below = newest;
    }
    static const uint8_t first[] = {LAYOUT_CHANGE_PREFIX};
    struct kv_batch batch = {0};
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    kv->ops->cursor_seek(cursor, bytes_of(first, sizeof first));
    int64_t removed = 0;
    while (at_change(cursor) && revision_at(cursor) < below && removed < max_entries &&
           trim_one(&batch, kv->ops->cursor_key(cursor), kv->ops->cursor_value(cursor), keep_since_us)) {
        removed++;
        kv->ops->cursor_next(cursor);
    }
    bool good = kv->ops->cursor_check(cursor, error);
    kv->ops->cursor_close(cursor);
    /* Not synced: a trim that is lost is done again. */
    good =
        good && (batch.count == 0 || (FAILPOINT("change_log.trim.before") && kv->ops->write(kv, &batch, false, error) &&
                                      FAILPOINT("change_log.trim.after")));
    kv_batch_free(&batch);
    return good ? removed : -1;
}
