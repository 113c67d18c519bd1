#include "object-svc/migrate/cold_copier.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"

enum { STEP_BYTES = 1024 * 1024 };

struct copying {
    struct cold_copier *copier;
    uint8_t *step;
    struct error *error;
    bool good;
};

static bool go_on(struct copying *copying, size_t bytes, struct error *error) {
    int64_t wait_ms = pace_after(&copying->copier->pace, bytes);
    struct stop_signal *stop = copying->copier->stop;
    bool stopped = wait_ms > 0 ? stop_signal_pause(stop, wait_ms) : stop_signal_raised(stop);
    return !stopped || error_set(error, ERROR_CANCELLED, "MIGRATION_STOPPED", "the copying was stopped");
}

static bool is_same(const struct provenance *one, const struct provenance *other) {
    return uuid_equal(&one->payload_id, &other->payload_id) && one->size_bytes == other->size_bytes &&
           one->crc32c == other->crc32c;
}

/* What is there under the name but is not the object, or is damaged, is written over, or refused by
 * the store. */
static bool is_present(struct copying *copying, const struct cold_name *name, const struct provenance *wanted,
                       bool *present, struct error *error) {
    struct error cause = {0};
    struct cold_reader *reader = cold_store_open_object(copying->copier->to, name, &cause);
    *present = reader != NULL && is_same(cold_reader_provenance(reader), wanted);
    if (reader != NULL) {
        cold_reader_close(reader);
        return true;
    }
    if (cause.code == ERROR_NOT_FOUND || cause.code == ERROR_DATA_LOSS) {
        return true;
    }
    *error = cause;
    return false;
}

static bool copy_bytes(struct copying *copying, struct cold_reader *reader, struct cold_writer *writer,
                       struct error *error) {
    uint64_t size = cold_reader_provenance(reader)->size_bytes;
    for (uint64_t offset = 0; offset < size;) {
        int64_t got = cold_reader_read(reader, offset, copying->step, STEP_BYTES, error);
        if (got == 0) {
            error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        }
        if (got <= 0 || !cold_writer_append(writer, bytes_of(copying->step, (size_t)got), error) ||
            !go_on(copying, (size_t)got, error)) {
            return false;
        }
        offset += (uint64_t)got;
    }
    return true;
}

static bool copy_object(struct copying *copying, struct cold_reader *reader, struct error *error) {
    const struct provenance *provenance = cold_reader_provenance(reader);
    struct cold_writer *writer = cold_store_begin(copying->copier->to, provenance, error);
    if (writer == NULL) {
        return false;
    }
    if (!copy_bytes(copying, reader, writer, error)) {
        cold_writer_abort(writer);
        return false;
    }
    return cold_writer_finish(writer, error) && cold_store_verify(copying->copier->to, provenance, error);
}

/* One that was removed while it was copied must not stay in the other store. */
static bool take_back_if_removed(struct copying *copying, const struct cold_name *name, struct error *error) {
    struct error cause = {0};
    struct cold_reader *reader = cold_store_open_object(copying->copier->from, name, &cause);
    if (reader != NULL) {
        cold_reader_close(reader);
        return true;
    }
    return cause.code != ERROR_NOT_FOUND || cold_store_remove(copying->copier->to, name, error);
}

static bool take_object(struct copying *copying, const struct cold_name *name, struct error *error) {
    struct cold_copier *copier = copying->copier;
    struct cold_reader *reader = cold_store_open_object(copier->from, name, error);
    if (reader == NULL) {
        return false;
    }
    struct provenance provenance = *cold_reader_provenance(reader);
    bool present;
    bool good = is_present(copying, name, &provenance, &present, error);
    if (good && present) {
        copier->advance(copier->self, 0, 0, 1);
    } else if (good) {
        good = FAILPOINT("migration.copy.before") && copy_object(copying, reader, error) &&
               FAILPOINT("migration.copy.after") && take_back_if_removed(copying, name, error);
        if (good) {
            copier->advance(copier->self, 1, provenance.size_bytes, 0);
        }
    }
    cold_reader_close(reader);
    return good;
}

/* Whether the whole copying cannot go on. */
static bool is_fatal(const struct error *error) {
    return error->code == ERROR_CANCELLED || error->code == ERROR_UNAVAILABLE ||
           error->code == ERROR_RESOURCE_EXHAUSTED || error->code == ERROR_PERMISSION_DENIED ||
           error->code == ERROR_FAILED_PRECONDITION;
}

static bool visit(void *context, const struct cold_entry *entry) {
    struct copying *copying = context;
    struct error cause = {0};
    if (!take_object(copying, &entry->name, &cause) && cause.code != ERROR_NOT_FOUND) {
        if (is_fatal(&cause)) {
            *copying->error = cause;
            copying->good = false;
        } else {
            copying->copier->failed(copying->copier->self, &entry->name, &cause);
        }
    }
    copying->good = copying->good && go_on(copying, 0, copying->error);
    return copying->good;
}

bool cold_copier_run(struct cold_copier *copier, struct error *error) {
    struct copying copying = {.copier = copier, .step = malloc(STEP_BYTES), .error = error, .good = true};
    if (copying.step == NULL) {
        abort();
    }
    bool listed = cold_store_list(copier->from, "", "", visit, &copying, error);
    free(copying.step);
    return listed && copying.good;
}
