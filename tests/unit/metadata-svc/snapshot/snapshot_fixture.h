/* A record store and a spool with known content, and a snapshot file in memory. */
#ifndef WAYBILL_TESTS_SNAPSHOT_FIXTURE_H
#define WAYBILL_TESTS_SNAPSHOT_FIXTURE_H

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metadata-svc/snapshot/snapshot_restore.h"
#include "metadata-svc/store/change_log.h"
#include "metadata-svc/store/layout.h"
#include "metadata-svc/store/record_store.h"
#include "tests/unit/metadata-svc/spool/spool_fixture.h"

struct snapshot_fixture {
    struct spool_fixture spool;
    char root[64]; /* a temporary directory */
    struct kv *kv;
    struct buffer file; /* the snapshot */
    /* Called once, after so many bytes of the snapshot. */
    size_t interrupt_at;
    void (*interrupt)(struct snapshot_fixture *fixture);
    bool interrupt_fails;
};

static inline struct kv *fixture_open_kv(const char *root, const char *name) {
    char path[160];
    struct leveldb_kv_options options = {.cache_bytes = MIB, .write_buffer_bytes = MIB};
    struct error error = {0};
    snprintf(path, sizeof path, "%s/%s", root, name);
    struct kv *kv = leveldb_kv_open(path, &options, &error);
    cr_assert_not_null(kv, "%s", error.message);
    return kv;
}

static inline struct snapshot_fixture snapshot_fixture_start(void) {
    struct snapshot_fixture fixture = {.spool = fixture_start(1, 64), .root = "/tmp/waybill-snapshot-XXXXXX"};
    cr_assert_not_null(mkdtemp(fixture.root));
    fixture.kv = fixture_open_kv(fixture.root, "source");
    return fixture;
}

static inline void snapshot_fixture_end(struct snapshot_fixture *fixture) {
    char command[96];
    fixture->kv->ops->close(fixture->kv);
    fixture_end(&fixture->spool);
    buffer_free(&fixture->file);
    snprintf(command, sizeof command, "rm -r %s", fixture->root);
    cr_assert_eq(system(command), 0);
}

static inline void store(struct kv *kv, struct bytes key, struct bytes value) {
    struct kv_batch batch = {0};
    struct error error = {0};
    kv_batch_put(&batch, key, value);
    cr_assert(kv->ops->write(kv, &batch, true, &error), "%s", error.message);
    kv_batch_free(&batch);
}

static inline void store_change(struct kv *kv, int64_t revision) {
    struct arena arena;
    arena_init(&arena);
    store(kv, layout_change_key(&arena, revision), bytes_of("change", 6));
    arena_free(&arena);
}

static inline void forget(struct kv *kv, uint64_t number) {
    struct arena arena;
    struct kv_batch batch = {0};
    struct error error = {0};
    struct uuid id = fixture_id(number);
    arena_init(&arena);
    kv_batch_delete(&batch, layout_payload_key(&arena, &id));
    cr_assert(kv->ops->write(kv, &batch, true, &error), "%s", error.message);
    kv_batch_free(&batch);
    arena_free(&arena);
}

/* A record wants payload `number`; its bytes are not put. */
static inline void want(struct kv *kv, uint64_t number, int place, size_t size) {
    struct uuid id = fixture_id(number);
    uint8_t *data = malloc(size + 1);
    struct arena arena;
    arena_init(&arena);
    fixture_fill(number, 0, data, size);
    struct payload_entry entry = {
        .bucket = "pictures", .key = "k", .version = 1, .size = (int64_t)size, .crc32c = crc32c(bytes_of(data, size))};
    entry.place = place;
    if (place == PAYLOAD_INLINE) {
        entry.data = bytes_of(data, size);
    }
    store(kv, layout_payload_key(&arena, &id), record_store_payload_value(&entry, &arena));
    arena_free(&arena);
    free(data);
}

static inline void spool_and_want(struct snapshot_fixture *fixture, uint64_t number, size_t size) {
    fixture_put(&fixture->spool, number, size);
    want(fixture->kv, number, PAYLOAD_SPOOLED, size);
}

/* ---- taking ---- */

static inline bool keep_header(void *self, const struct snapshot_header *header, struct error *error) {
    (void)self;
    (void)header;
    (void)error;
    return true;
}

static inline bool keep_bytes(void *self, struct bytes data, struct error *error) {
    struct snapshot_fixture *fixture = self;
    buffer_append_bytes(&fixture->file, data);
    if (fixture->interrupt != NULL && fixture->file.size >= fixture->interrupt_at) {
        void (*interrupt)(struct snapshot_fixture *) = fixture->interrupt;
        fixture->interrupt = NULL;
        interrupt(fixture);
        if (fixture->interrupt_fails) {
            return error_set(error, ERROR_CANCELLED, "GONE", "the reader went away");
        }
    }
    return true;
}

static inline bool try_take(struct snapshot_fixture *fixture, struct snapshot_summary *summary, struct error *error) {
    struct snapshot_sink sink = {keep_header, keep_bytes, fixture};
    buffer_clear(&fixture->file);
    return snapshot_write(fixture->kv, fixture->spool.spool, "main", &fixture_clock, &sink, summary, error);
}

static inline struct snapshot_summary take(struct snapshot_fixture *fixture) {
    struct snapshot_summary summary;
    struct error error = {0};
    cr_assert(try_take(fixture, &summary, &error), "%s", error.message);
    cr_assert_eq((size_t)summary.size_bytes, fixture->file.size);
    cr_assert_eq(summary.crc32c, crc32c(buffer_bytes(&fixture->file)));
    return summary;
}

/* ---- restoring ---- */

static inline int64_t read_bytes(void *self, void *out, size_t size, struct error *error) {
    struct bytes *left = self;
    size_t part = size < left->size ? size : left->size;
    (void)error;
    memcpy(out, left->data, part);
    *left = bytes_of(left->data + part, left->size - part);
    return (int64_t)part;
}

static inline bool restore_bytes(struct bytes file, const char *data_dir, const char *spool_dir,
                                 struct snapshot_summary *summary, struct error *error) {
    struct snapshot_source source = {read_bytes, &file};
    return snapshot_restore(&source, data_dir, spool_dir, summary, error);
}

static inline char *path_in(const struct snapshot_fixture *fixture, const char *name) {
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", fixture->root, name);
    return path;
}

static inline unsigned count_names(const char *directory) {
    unsigned count = 0;
    DIR *listing = opendir(directory);
    cr_assert_not_null(listing, "%s", directory);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        count += entry->d_name[0] != '.';
    }
    closedir(listing);
    return count;
}

#endif
