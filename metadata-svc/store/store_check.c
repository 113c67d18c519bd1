#include "metadata-svc/store/store_check.h"

#include <stdio.h>

#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"

enum { DROP_STEP = 1000 };

static bool keep_on(void *context, int64_t revision, struct bytes event) {
    int64_t *last = context;
    (void)event;
    *last = revision;
    return true;
}

bool store_check_newest(struct kv *kv, int64_t count, struct error *error) {
    int64_t oldest;
    int64_t newest;
    int64_t last = 0;
    if (!change_log_bounds(kv, &oldest, &newest, error)) {
        return false;
    }
    int64_t first = newest - count + 1 > oldest ? newest - count + 1 : oldest;
    return newest == 0 || change_log_read(kv, first, keep_on, &last, error);
}

/* ---- repair ---- */

/* The revision behind the newest gap. */
static bool find_whole_part(struct kv *kv, int64_t *first, struct error *error) {
    static const uint8_t prefix[] = {LAYOUT_CHANGE_PREFIX};
    int64_t expected = 0;
    *first = 0;
    struct kv_cursor *cursor = kv->ops->cursor_open_bulk(kv);
    for (cursor->ops->cursor_seek(cursor, bytes_of(prefix, sizeof prefix)); cursor->ops->cursor_valid(cursor);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (key.data[0] != LAYOUT_CHANGE_PREFIX) {
            break;
        }
        int64_t revision = layout_number_of(key);
        if (revision != expected) {
            *first = revision;
        }
        expected = revision + 1;
    }
    bool good = cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

static void note_damaged(struct store_repair_report *report, struct bytes key) {
    if (report->damaged++ == 0) {
        size_t size = key.size - 1 < sizeof report->first_damaged - 1 ? key.size - 1 : sizeof report->first_damaged - 1;
        for (size_t i = 0; i < size; i++) {
            report->first_damaged[i] = key.data[1 + i] == '\0' ? '/' : (char)key.data[1 + i];
        }
    }
}

/* Reads every head; `newest` is then the newest revision that any of them has. */
static bool read_heads(struct kv *kv, struct store_repair_report *report, int64_t *newest, struct error *error) {
    static const uint8_t prefix[] = {LAYOUT_HEAD_PREFIX};
    *newest = 0;
    struct kv_cursor *cursor = kv->ops->cursor_open_bulk(kv);
    for (cursor->ops->cursor_seek(cursor, bytes_of(prefix, sizeof prefix)); cursor->ops->cursor_valid(cursor);
         cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        if (key.data[0] != LAYOUT_HEAD_PREFIX) {
            break;
        }
        struct arena arena;
        struct record_head head;
        struct error damaged;
        arena_init(&arena);
        if (record_store_decode_head(cursor->ops->cursor_value(cursor), &arena, &head, &damaged)) {
            report->records++;
            *newest = head.last_revision > *newest ? head.last_revision : *newest;
        } else {
            note_damaged(report, key);
        }
        arena_free(&arena);
    }
    bool good = cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

/* Removes the entries below `first`, in steps. */
static bool drop_below(struct kv *kv, int64_t first, struct store_repair_report *report, struct error *error) {
    for (;;) {
        int64_t dropped = change_log_trim(kv, first, INT64_MAX, DROP_STEP, error);
        if (dropped < 0) {
            return false;
        }
        if (dropped == 0) {
            return true;
        }
        report->changes_dropped += dropped;
    }
}

bool store_repair(struct kv *kv, struct store_repair_report *report, struct error *error) {
    int64_t first;
    int64_t newest_head;
    *report = (struct store_repair_report){0};
    if (!find_whole_part(kv, &first, error) || !read_heads(kv, report, &newest_head, error) ||
        !change_log_bounds(kv, &report->oldest, &report->newest, error)) {
        return false;
    }
    if (newest_head > report->newest) {
        return error_set(error, ERROR_DATA_LOSS, "RECORDS_AHEAD_OF_LOG",
                         "there are records of revision %lld, but the change log ends at %lld: restore a snapshot",
                         (long long)newest_head, (long long)report->newest);
    }
    return drop_below(kv, first, report, error) && change_log_bounds(kv, &report->oldest, &report->newest, error);
}
