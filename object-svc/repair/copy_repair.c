#include "object-svc/repair/copy_repair.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/upstream/record_provenance.h"

enum { REPAIR_STEP_BYTES = 1024 * 1024 };

/* One repair under way. */
struct repair {
    const struct repair_ports *ports;
    const struct repair_copy *copy;
    struct arena *arena;
    struct object_check check;
    struct provenance provenance; /* as the record tells it */
};

/* ---- the record ---- */

static bool check_record(struct repair *repair, struct error *error) {
    const struct repair_copy *copy = repair->copy;
    const struct object_catalog *catalog = &repair->ports->catalog;
    struct object_name name = {copy->bucket, copy->key, copy->version, copy->payload_id};
    return catalog->check(catalog->self, copy->tier, &name, 1, repair->arena, &repair->check, error);
}

static bool is_cold_too(const struct repair *repair) {
    const Waybill__V1__Record *record = repair->check.record;
    for (size_t i = 0; i < record->n_locations; i++) {
        if (record->locations[i]->tier == WAYBILL__V1__TIER__TIER_COLD) {
            return true;
        }
    }
    return false;
}

/* ---- reading ---- */

static bool check_going(const struct repair *repair, struct error *error) {
    return repair->ports->stop == NULL || !stop_signal_raised(repair->ports->stop) ||
           error_set(error, ERROR_CANCELLED, "REPAIR_CANCELLED", "the service is shutting down");
}

/* Where bytes go; false ends the reading. */
typedef bool byte_taker(void *self, struct bytes data, struct error *error);

typedef int64_t byte_giver(void *self, uint64_t offset, void *out, size_t size, struct error *error);

static bool pass_all(const struct repair *repair, byte_giver *give, void *giver, byte_taker *take, void *taker,
                     struct error *error) {
    uint8_t *step = malloc(REPAIR_STEP_BYTES);
    if (step == NULL) {
        abort();
    }
    bool good = true;
    for (uint64_t offset = 0; good && offset < repair->provenance.size_bytes;) {
        int64_t got = give(giver, offset, step, REPAIR_STEP_BYTES, error);
        if (got == 0) {
            error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        }
        good = got > 0 && take(taker, bytes_of(step, (size_t)got), error) && check_going(repair, error);
        offset += good ? (uint64_t)got : 0;
    }
    free(step);
    return good;
}

static int64_t give_hot(void *self, uint64_t offset, void *out, size_t size, struct error *error) {
    return hot_reader_read(self, offset, out, size, error);
}

static int64_t give_object(void *self, uint64_t offset, void *out, size_t size, struct error *error) {
    return object_reader_read(self, offset, out, size, error);
}

static bool take_nothing(void *self, struct bytes data, struct error *error) {
    (void)self;
    (void)data;
    (void)error;
    return true;
}

static bool is_the_object(const struct repair *repair, const struct provenance *found, struct error *error) {
    const struct provenance *wanted = &repair->provenance;
    return (uuid_equal(&found->payload_id, &wanted->payload_id) && found->size_bytes == wanted->size_bytes &&
            found->crc32c == wanted->crc32c) ||
           error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is another object than the record describes");
}

static bool check_hot(const struct repair *repair, struct error *error) {
    struct hot_reader *reader = hot_store_open_object(repair->ports->reader.hot, &repair->copy->payload_id, error);
    if (reader == NULL) {
        return false;
    }
    bool good = is_the_object(repair, hot_reader_provenance(reader), error) &&
                pass_all(repair, give_hot, reader, take_nothing, NULL, error);
    hot_reader_close(reader);
    return good;
}

/* Whether the copy is to be written anew; false with an error where that cannot be told. */
static bool is_damaged(const struct repair *repair, bool *damaged, struct error *error) {
    struct error cause = {0};
    bool good = repair->copy->tier == OBJECT_TIER_HOT
                    ? check_hot(repair, &cause)
                    : cold_store_verify(repair->ports->reader.cold, &repair->provenance, &cause);
    /* A place on the disk that cannot be read is as good as damaged. */
    *damaged = !good && (cause.code == ERROR_DATA_LOSS || cause.code == ERROR_NOT_FOUND ||
                         strcmp(cause.reason, "IO_ERROR") == 0);
    if (!good && !*damaged) {
        *error = cause;
    }
    return good || *damaged;
}

/* ---- writing ---- */

/* What a good copy says of itself is worth more than what a later version's record does. */
static const struct provenance *best_provenance(const struct repair *repair, const struct object_reader *source) {
    const struct provenance *told = object_reader_provenance(source);
    return told != NULL ? told : &repair->provenance;
}

static bool take_hot(void *self, struct bytes data, struct error *error) {
    return hot_appender_append(self, data, error);
}

static bool append_hot(const struct repair *repair, struct hot_appender *appender, struct object_reader *source,
                       struct error *error) {
    if (!hot_appender_begin(appender, best_provenance(repair, source), error)) {
        return false;
    }
    if (!pass_all(repair, give_object, source, take_hot, appender, error)) {
        hot_appender_abort(appender);
        return false;
    }
    return hot_appender_finish(appender, error) && hot_appender_commit(appender, error);
}

static bool write_hot(const struct repair *repair, struct object_reader *source, struct error *error) {
    struct hot_appender *appender = hot_store_open_appender(repair->ports->reader.hot, error);
    if (appender == NULL) {
        return false;
    }
    bool good = append_hot(repair, appender, source, error);
    hot_appender_close(appender);
    if (good && is_cold_too(repair)) {
        good = hot_store_note_cold_copy(repair->ports->reader.hot, &repair->copy->payload_id, true, error);
    }
    return good;
}

static bool take_cold(void *self, struct bytes data, struct error *error) {
    return cold_writer_append(self, data, error);
}

static bool write_cold(const struct repair *repair, struct object_reader *source, struct error *error) {
    struct cold_store *cold = repair->ports->reader.cold;
    struct cold_writer *writer = cold_store_begin(cold, best_provenance(repair, source), error);
    if (writer == NULL) {
        return false;
    }
    if (!pass_all(repair, give_object, source, take_cold, writer, error)) {
        cold_writer_abort(writer);
        return false;
    }
    return cold_writer_finish(writer, error) && cold_store_verify(cold, &repair->provenance, error);
}

/* No version needs the bytes any more, and whoever removed the copies of it may not have seen
 * this one. */
static bool take_back(const struct repair *repair, struct error *error) {
    const struct repair_copy *copy = repair->copy;
    if (copy->tier == OBJECT_TIER_HOT) {
        return hot_store_remove(repair->ports->reader.hot, &copy->payload_id, 1, error);
    }
    struct cold_name name = {copy->bucket, copy->key, copy->version};
    return cold_store_remove(repair->ports->reader.cold, &name, error);
}

/* The record may have changed while the copy was written. One that it only does not locate here
 * any more is left to the tier mover, which may be about to report it. */
static bool settle(struct repair *repair, enum repair_outcome *outcome, struct error *error) {
    if (!check_record(repair, error)) {
        return false;
    }
    *outcome = repair->check.standing == OBJECT_EXPECTED ? REPAIR_DONE : REPAIR_OBSOLETE;
    return repair->check.standing != OBJECT_OBSOLETE || take_back(repair, error);
}

static bool write_anew(struct repair *repair, enum repair_outcome *outcome, struct error *error) {
    struct object_reader_ports ports = repair->ports->reader;
    ports.on_corrupt = NULL;
    enum read_source skip = repair->copy->tier == OBJECT_TIER_HOT ? READ_FROM_HOT : READ_FROM_COLD;
    struct read_span span = {0, repair->provenance.size_bytes};
    struct object_reader *source = object_reader_open(&ports, repair->check.record, &span, skip, error);
    if (source == NULL) {
        if (error->code == ERROR_NOT_FOUND) {
            error_set(error, ERROR_DATA_LOSS, "NO_GOOD_COPY", "there is no other copy");
        }
        return false;
    }
    FAILPOINT("repair.write.before");
    bool good =
        repair->copy->tier == OBJECT_TIER_HOT ? write_hot(repair, source, error) : write_cold(repair, source, error);
    object_reader_close(source);
    return good && FAILPOINT("repair.settle.before") && settle(repair, outcome, error);
}

bool copy_repair_run(const struct repair_ports *ports, const struct repair_copy *copy, enum repair_outcome *outcome,
                     struct error *error) {
    struct arena arena;
    struct repair repair = {.ports = ports, .copy = copy, .arena = &arena};
    arena_init(&arena);
    bool damaged = false;
    bool good = check_record(&repair, error);
    if (good && repair.check.standing != OBJECT_EXPECTED) {
        *outcome = REPAIR_OBSOLETE;
    } else if (good) {
        good = record_provenance(repair.check.record, &arena, &repair.provenance, error) &&
               is_damaged(&repair, &damaged, error);
        *outcome = REPAIR_NOT_NEEDED;
        good = good && (!damaged || write_anew(&repair, outcome, error));
    }
    arena_free(&arena);
    return good;
}
