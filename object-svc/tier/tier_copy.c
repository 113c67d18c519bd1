#include "object-svc/tier/tier_copy.h"

#include <stdlib.h>

#include "common/base/failpoint.h"

enum { MOVE_STEP_BYTES = 1024 * 1024 };

static bool step_on(const struct tier_move *move, uint64_t bytes, struct error *error) {
    return move->step == NULL || move->step(move->self, bytes, error);
}

static bool short_copy(struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is shorter than its record says");
}

/* Streams verified hot bytes into a writer. */
static bool pass_to_cold(struct hot_reader *reader, struct cold_writer *writer, const struct tier_move *move,
                         struct error *error) {
    uint64_t size = hot_reader_provenance(reader)->size_bytes;
    uint8_t *step = malloc(MOVE_STEP_BYTES);
    if (step == NULL) {
        abort();
    }
    bool good = true;
    for (uint64_t offset = 0; good && offset < size;) {
        int64_t read = hot_reader_read(reader, offset, step, MOVE_STEP_BYTES, error);
        good = (read > 0 || (read == 0 && short_copy(error))) &&
               cold_writer_append(writer, bytes_of(step, (size_t)read), error) && step_on(move, (uint64_t)read, error);
        offset += good ? (uint64_t)read : 0;
    }
    free(step);
    return good;
}

bool tier_copy_to_cold(struct cold_store *cold, struct hot_reader *reader, const struct tier_move *move, bool *settled,
                       struct error *error) {
    const struct provenance *provenance = hot_reader_provenance(reader);
    struct cold_writer *writer = cold_store_begin(cold, provenance, error);
    *settled = true;
    if (writer == NULL) {
        return false;
    }
    if (!pass_to_cold(reader, writer, move, error)) {
        cold_writer_abort(writer);
        return false;
    }
    *settled = false;
    return FAILPOINT("tier.cold_write.before") && cold_writer_finish(writer, error) &&
           FAILPOINT("tier.verify.before") && cold_store_verify(cold, provenance, error) &&
           FAILPOINT("tier.verify.after");
}

static bool pass_to_hot(struct cold_reader *reader, struct hot_appender *appender, const struct tier_move *move,
                        struct error *error) {
    uint64_t size = cold_reader_provenance(reader)->size_bytes;
    uint8_t *step = malloc(MOVE_STEP_BYTES);
    if (step == NULL) {
        abort();
    }
    bool open = true; /* the appender aborts by itself what it cannot append or finish */
    bool good = true;
    for (uint64_t offset = 0; good && offset < size;) {
        int64_t read = cold_reader_read(reader, offset, step, MOVE_STEP_BYTES, error);
        good = read > 0 || (read == 0 && short_copy(error));
        if (good) {
            good = open = hot_appender_append(appender, bytes_of(step, (size_t)read), error);
        }
        good = good && step_on(move, (uint64_t)read, error);
        offset += good ? (uint64_t)read : 0;
    }
    free(step);
    if (!good && open) {
        hot_appender_abort(appender);
    }
    return good && hot_appender_finish(appender, error);
}

bool tier_copy_to_hot(struct hot_store *hot, struct cold_reader *reader, const struct tier_move *move,
                      struct error *error) {
    struct provenance provenance = *cold_reader_provenance(reader);
    struct hot_appender *appender = hot_store_open_appender(hot, error);
    if (appender == NULL) {
        return false;
    }
    provenance.store_unix_us = 0;
    bool good = hot_appender_begin(appender, &provenance, error) && pass_to_hot(reader, appender, move, error) &&
                FAILPOINT("tier.hot_write.before") && hot_appender_commit(appender, error) &&
                FAILPOINT("tier.hot_write.after");
    hot_appender_close(appender);
    return good;
}
