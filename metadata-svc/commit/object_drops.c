#include "metadata-svc/commit/object_drops.h"

#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"

static void add(struct change_builder *builder, const struct record *record, enum tier tier, const char *replica,
                struct arena *arena) {
    struct dropped_object object = {record->bucket, record->key, record->payload_version};
    struct layout_drop drop = {(uint8_t)tier, replica, builder->now_us + builder->drop_delay_us, record->payload_id};
    overlay_put(&builder->overlay, layout_drop_key(arena, &drop), record_store_drop_value(&object, arena));
}

void object_drops_add(struct change_builder *builder, const struct record *record, struct arena *arena) {
    for (size_t i = 0; i < record->location_count; i++) {
        add(builder, record, record->locations[i].tier, record->locations[i].replica, arena);
    }
}

void object_drops_add_cold(struct change_builder *builder, const struct record *record, struct arena *arena) {
    add(builder, record, TIER_COLD, "", arena);
}

void object_drops_done(struct change_builder *builder, const struct object_report *report, const char *replica,
                       struct arena *arena) {
    struct layout_drop drop = {(uint8_t)report->tier, report->tier == TIER_HOT ? replica : "", report->drop_due_us,
                               report->payload_id};
    overlay_delete(&builder->overlay, layout_drop_key(arena, &drop));
}
