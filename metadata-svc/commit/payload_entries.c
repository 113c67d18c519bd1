#include "metadata-svc/commit/payload_entries.h"

#include "metadata-svc/store/layout.h"

/* The time between redrives grows up to 2^5 times the first. */
enum { REDRIVE_DOUBLINGS_MAX = 5 };

static struct timer timer_of(const struct record *record, int64_t due_us) {
    return (struct timer){due_us, TIMER_PAYLOAD, record->bucket, record->key, record->payload_version};
}

static void drop_timer(struct change_builder *builder, const struct record *record, const struct payload_entry *entry,
                       struct arena *arena) {
    if (entry->due_us > 0) {
        struct timer timer = timer_of(record, entry->due_us);
        overlay_delete(&builder->overlay, layout_timer_key(arena, &timer));
    }
}

static int64_t earlier_of(int64_t one_us, int64_t other_us) {
    return one_us == 0 || (other_us > 0 && other_us < one_us) ? other_us : one_us;
}

/* When the payload is to be looked at; 0 for never. */
static int64_t next_look(const struct change_builder *builder, const struct record *record, int doublings) {
    switch (record->state) {
    case RECORD_AWAITING_PAYLOAD:
        return record->deadline_us;
    case RECORD_STAGED:
        return builder->redrive_after_us == 0
                   ? record->deadline_us
                   : earlier_of(record->deadline_us, builder->now_us + (builder->redrive_after_us << doublings));
    case RECORD_FAILED:
        return builder->now_us + builder->failed_retention_us;
    case RECORD_COMMITTED:
    case RECORD_STORED:
    case RECORD_DELETED:
        break;
    }
    return 0;
}

static void put_entry(struct change_builder *builder, const struct record *record, struct payload_entry *entry,
                      int doublings, struct arena *arena) {
    drop_timer(builder, record, entry, arena);
    entry->due_us = next_look(builder, record, doublings);
    if (entry->due_us > 0 && entry->due_us < builder->now_us) {
        entry->due_us = builder->now_us; /* nobody looks for timers that are due long since */
    }
    overlay_put(&builder->overlay, layout_payload_key(arena, &record->payload_id),
                record_store_payload_value(entry, arena));
    if (entry->due_us > 0) {
        struct timer timer = timer_of(record, entry->due_us);
        overlay_append(&builder->overlay, layout_timer_key(arena, &timer), (struct bytes){0});
    }
}

void payload_entry_put(struct change_builder *builder, const struct record *record, struct payload_entry *entry,
                       struct arena *arena) {
    int doublings = entry->redrives < REDRIVE_DOUBLINGS_MAX ? entry->redrives : REDRIVE_DOUBLINGS_MAX;
    put_entry(builder, record, entry, doublings, arena);
}

void payload_entry_put_soon(struct change_builder *builder, const struct record *record, struct payload_entry *entry,
                            struct arena *arena) {
    put_entry(builder, record, entry, 0, arena);
}

void payload_entry_remove(struct change_builder *builder, const struct record *record,
                          const struct payload_entry *entry, struct arena *arena) {
    drop_timer(builder, record, entry, arena);
    overlay_delete(&builder->overlay, layout_payload_key(arena, &record->payload_id));
}
