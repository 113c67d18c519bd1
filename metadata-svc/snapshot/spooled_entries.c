#include "metadata-svc/snapshot/spooled_entries.h"

#include "metadata-svc/store/layout.h"

/* The value at which the cursor stands, whatever the key. */
static bool value_at_hand(void *self, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                          struct error *error) {
    struct kv_cursor *cursor = self;
    (void)key;
    (void)arena;
    (void)error;
    *value = cursor->ops->cursor_value(cursor);
    *found = true;
    return true;
}

static bool visit_entry(struct kv_cursor *cursor, struct arena *arena, spooled_visitor *visit, void *context,
                        struct error *error) {
    struct bytes key = cursor->ops->cursor_key(cursor);
    struct kv_lookup lookup = {value_at_hand, cursor};
    struct uuid id;
    struct payload_entry entry;
    bool found;
    if (key.size != 1 + sizeof id.raw) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "the key of a stored payload is malformed");
    }
    memcpy(id.raw, key.data + 1, sizeof id.raw);
    return record_store_get_payload(lookup, &id, arena, &entry, &found, error) &&
           (entry.place != PAYLOAD_SPOOLED || visit(context, &id, &entry, error));
}

bool spooled_entries_each(struct kv_cursor *cursor, spooled_visitor *visit, void *context, struct error *error) {
    static const uint8_t prefix = LAYOUT_PAYLOAD_PREFIX;
    const struct kv_ops *ops = cursor->ops;
    bool good = true;
    for (ops->cursor_seek(cursor, bytes_of(&prefix, 1));
         good && ops->cursor_valid(cursor) && bytes_start_with(ops->cursor_key(cursor), bytes_of(&prefix, 1));
         ops->cursor_next(cursor)) {
        struct arena arena;
        arena_init(&arena);
        good = visit_entry(cursor, &arena, visit, context, error);
        arena_free(&arena);
    }
    return good && ops->cursor_check(cursor, error);
}
