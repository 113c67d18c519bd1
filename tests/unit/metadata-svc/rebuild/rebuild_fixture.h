/* What events and objects tell of key "k" in bucket "bkt", and the store that is made of it. */
#ifndef WAYBILL_TESTS_REBUILD_FIXTURE_H
#define WAYBILL_TESTS_REBUILD_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "metadata-svc/rebuild/gathered.h"
#include "metadata-svc/rebuild/rebuild_writer.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_codec.h"
#include "metadata-svc/store/record_store.h"

enum { NOW_US = 1700000000 };

static char root[64];
static struct gathered *gathered;
static struct kv *kv;
static struct arena arena;
static struct error error;
static struct rebuild_totals totals;

/* Which payloads the spool has: one bit for each number. */
static unsigned spooled;
static const char *searched[] = {"r1", "r2"};
static struct merge_sources sources;
static const struct rebuild_options rebuild_like = {"0", NOW_US, 1000, 5000};

static inline struct uuid id_of(unsigned number) {
    struct uuid id = {0};
    id.raw[0] = 0xaa;
    id.raw[15] = (uint8_t)number;
    return id;
}

static inline bool fixture_spooled(void *self, const struct uuid *payload_id, int64_t size, uint32_t crc32c) {
    (void)self;
    return size == 5 && crc32c == payload_id->raw[15] && (spooled >> payload_id->raw[15] & 1) != 0;
}

static inline void setup(void) {
    char path[128];
    struct leveldb_kv_options options = {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    strcpy(root, "/tmp/waybill-rebuild-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/gathered", root);
    gathered = gathered_open(path, &error);
    cr_assert_not_null(gathered, "%s", error.message);
    snprintf(path, sizeof path, "%s/records", root);
    kv = leveldb_kv_open(path, &options, &error);
    cr_assert_not_null(kv, "%s", error.message);
    arena_init(&arena);
    sources = (struct merge_sources){searched, 2, true, fixture_spooled, NULL};
}

static inline void teardown(void) {
    char command[128];
    arena_free(&arena);
    gathered_close(gathered);
    kv->ops->close(kv);
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

/* ---- what is told ---- */

/* A version with payload `number` (0: none), committed at that many microseconds. */
static inline struct record version_of(int64_t version, enum record_state state, unsigned number) {
    struct record record = record_make("bkt", "k");
    record.version = version;
    record.state = state;
    record.content_type = "text/plain";
    record.create_us = 1;
    record.update_us = 100 * version;
    record.uid = id_of(99);
    if (number > 0) {
        record.payload_id = id_of(number);
        record.payload_version = version;
        record.has_size = record.has_crc32c = true;
        record.size = 5;
        record.crc32c = number;
    }
    return record;
}

static inline struct record at(struct record record, enum tier tier, const char *replica) {
    record.locations[record.location_count++] = (struct location){tier, replica, 7};
    return record;
}

static inline bool try_event(int64_t revision, enum change_type type, struct record record, int64_t previous) {
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    record.revision = revision;
    event.revision = revision;
    event.type = (Waybill__V1__ChangeType)type;
    event.previous_revision = previous;
    event.record = record_to_proto(&record, &arena);
    return gathered_add_event(gathered, &event, &error);
}

static inline void tell_event(int64_t revision, enum change_type type, struct record record, int64_t previous) {
    cr_assert(try_event(revision, type, record, previous), "%s", error.message);
}

static inline struct bucket bucket_like(void) {
    return (struct bucket){.name = "bkt",
                           .storage_class = STORAGE_HOT,
                           .cold_after_us = 1000000,
                           .delete_retention_us = 1000000,
                           .inline_max_bytes = 10,
                           .uid = id_of(98),
                           .version = 3,
                           .create_us = 50};
}

static inline void tell_bucket(int64_t revision, enum change_type type, struct bucket bucket, int64_t commit_us) {
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    bucket.revision = revision;
    event.revision = revision;
    event.type = (Waybill__V1__ChangeType)type;
    event.commit_time = timestamp_to_proto(commit_us, &arena);
    event.bucket = bucket_to_proto(&bucket, &arena);
    cr_assert(gathered_add_event(gathered, &event, &error), "%s", error.message);
}

static inline void tell_object(struct record record, enum tier tier, const char *replica, const char *damage) {
    Waybill__V1__StoredObject object = WAYBILL__V1__STORED_OBJECT__INIT;
    record.location_count = 0;
    record = at(record, tier, replica);
    object.record = record_to_proto(&record, &arena);
    object.damage = (char *)(uintptr_t)damage;
    cr_assert(gathered_add_object(gathered, &object, &error), "%s", error.message);
}

static inline void tell_stored(int64_t version, unsigned number, enum tier tier, const char *replica) {
    tell_object(version_of(version, RECORD_STORED, number), tier, replica, "");
}

/* ---- what is made of it ---- */

static inline void rebuild(void) {
    cr_assert(rebuild_write(gathered, &sources, &rebuild_like, kv, &totals, &error), "%s", error.message);
    cr_assert(rebuild_check(gathered, kv, &totals, &error), "%s", error.message);
}

static inline bool has_version(int64_t version, struct record *record) {
    bool found;
    cr_assert(record_store_get_version(kv_lookup_of(kv), "bkt", "k", version, &arena, record, &found, &error));
    return found;
}

static inline struct record rebuilt(int64_t version) {
    struct record record;
    cr_assert(has_version(version, &record), "version %lld", (long long)version);
    return record;
}

static inline struct record_head head(void) {
    struct record_head out;
    bool found;
    cr_assert(record_store_get_head(kv_lookup_of(kv), "bkt", "k", &arena, &out, &found, &error) && found);
    return out;
}

/* The types of the changes that are logged of records, in order, as one number: 3, then 5, is 35. */
static inline bool gather_type(void *context, int64_t revision, struct bytes event) {
    int *types = context;
    (void)revision;
    Waybill__V1__ChangeEvent *message =
        waybill__v1__change_event__unpack(arena_protobuf(&arena), event.size, event.data);
    cr_assert_not_null(message);
    if (message->record != NULL) {
        *types = *types * 10 + (int)message->type;
    }
    return true;
}

static inline int logged(void) {
    int types = 0;
    cr_assert(change_log_read(kv, totals.first_revision, gather_type, &types, &error), "%s", error.message);
    return types;
}

static inline bool payload_waits(unsigned number, int *place) {
    struct payload_entry entry;
    struct uuid id = id_of(number);
    bool found;
    cr_assert(record_store_get_payload(kv_lookup_of(kv), &id, &arena, &entry, &found, &error));
    *place = found ? (int)entry.place : 0;
    return found;
}

#endif
