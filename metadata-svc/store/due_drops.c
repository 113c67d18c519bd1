#include "metadata-svc/store/due_drops.h"

/* Most entries are written when the last version that has the payload goes. Where one is found that has it, the
 * object stays, and the entry with it. */
static bool add(struct kv *kv, struct bytes value, struct due_drop *drop, struct arena *arena, size_t *count,
                struct error *error) {
    struct record record;
    bool needed;
    if (!record_store_decode_drop(arena_copy(arena, value), arena, &drop->object, error) ||
        !record_store_find_object(kv_lookup_of(kv), drop->object.bucket, drop->object.key, drop->object.version,
                                  &drop->payload_id, arena, &record, &needed, error)) {
        return false;
    }
    *count += !needed;
    return true;
}

static bool walk(struct kv *kv, struct kv_cursor *cursor, const struct layout_drop *after, int64_t now_us,
                 struct arena *arena, struct due_drop *drops, size_t max, size_t *count, bool *more,
                 struct error *error) {
    struct bytes prefix = layout_drops_prefix(arena, after->tier, after->replica);
    struct bytes from = after->due_us > 0 ? layout_drop_key(arena, after) : prefix;
    for (cursor->ops->cursor_seek(cursor, from); cursor->ops->cursor_valid(cursor); cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        struct due_drop drop;
        if (!layout_read_drop_key(key, prefix, &drop.due_us, &drop.payload_id) || drop.due_us > now_us) {
            break;
        }
        if (bytes_equal(key, from)) {
            continue;
        }
        *more = *count == max;
        if (*more) {
            break;
        }
        drops[*count] = drop;
        if (!add(kv, cursor->ops->cursor_value(cursor), &drops[*count], arena, count, error)) {
            return false;
        }
    }
    return cursor->ops->cursor_check(cursor, error);
}

bool due_drops_read(struct kv *kv, const struct layout_drop *after, int64_t now_us, struct arena *arena,
                    struct due_drop *drops, size_t max, size_t *count, bool *more, struct error *error) {
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    *count = 0;
    *more = false;
    bool good = walk(kv, cursor, after, now_us, arena, drops, max, count, more, error);
    cursor->ops->cursor_close(cursor);
    return good;
}
