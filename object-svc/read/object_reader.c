#include "object-svc/read/object_reader.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "object-svc/read/spool_reader.h"

/* In the order in which they are tried. */
enum copy { COPY_HOT, COPY_COLD, COPY_SPOOL, COPY_NONE };

struct object_reader {
    struct object_reader_ports ports;
    const Waybill__V1__Record *record;
    struct uuid payload_id;
    enum copy copy; /* the one that is open */
    struct hot_reader *hot;
    struct cold_reader *cold;
    struct spool_reader *spool;
};

static bool record_in_tier(const Waybill__V1__Record *record, Waybill__V1__Tier tier) {
    for (size_t i = 0; i < record->n_locations; i++) {
        if (record->locations[i]->tier == tier) {
            return true;
        }
    }
    return false;
}

static void close_copy(struct object_reader *reader) {
    if (reader->hot != NULL) {
        hot_reader_close(reader->hot);
    }
    if (reader->cold != NULL) {
        cold_reader_close(reader->cold);
    }
    spool_reader_close(reader->spool);
    reader->hot = NULL;
    reader->cold = NULL;
    reader->spool = NULL;
}

/* Another object under the name would be the wrong bytes. */
static bool is_the_object(const struct object_reader *reader, const struct provenance *found, struct error *error) {
    if (uuid_equal(&found->payload_id, &reader->payload_id) && found->size_bytes == (uint64_t)reader->record->size &&
        found->crc32c == reader->record->crc32c) {
        return true;
    }
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is not the object that the record describes");
}

static bool open_copy(struct object_reader *reader, struct error *error) {
    const Waybill__V1__Record *record = reader->record;
    struct cold_name name = {record->bucket, record->key, record->payload_version};
    switch (reader->copy) {
    case COPY_HOT:
        reader->hot = hot_store_open_object(reader->ports.hot, &reader->payload_id, error);
        return reader->hot != NULL && is_the_object(reader, hot_reader_provenance(reader->hot), error);
    case COPY_COLD:
        /* A record that came out of a backup may not know of its object's move from hot. */
        if (!record_in_tier(record, WAYBILL__V1__TIER__TIER_COLD) &&
            !record_in_tier(record, WAYBILL__V1__TIER__TIER_HOT)) {
            return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the object is not in the cold store");
        }
        reader->cold = cold_store_open_object(reader->ports.cold, &name, error);
        return reader->cold != NULL && is_the_object(reader, cold_reader_provenance(reader->cold), error);
    case COPY_SPOOL:
        reader->spool = spool_reader_open(&reader->ports.spool, &reader->payload_id, error);
        return reader->spool != NULL;
    case COPY_NONE:
        break;
    }
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "no copy is left");
}

/* Which of the reasons why copies cannot be read the caller should hear: damage above a
 * source that is away, and that above a copy that is simply elsewhere. */
static int weight(const struct error *error) {
    return error->code == ERROR_DATA_LOSS ? 3 : error->code == ERROR_NOT_FOUND ? 1 : error->code == ERROR_OK ? 0 : 2;
}

/* Opens the first copy from `first` on that opens. `worst` holds why those before could not
 * be read. */
static bool open_from(struct object_reader *reader, enum copy first, struct error *worst) {
    for (reader->copy = first; reader->copy < COPY_NONE; reader->copy++) {
        struct error error = {0};
        if (open_copy(reader, &error)) {
            return true;
        }
        close_copy(reader);
        if (error.code == ERROR_DATA_LOSS) {
            log_error("corrupt_copy", LOG_ERROR(&error), LOG_STR("bucket", reader->record->bucket),
                      LOG_STR("key", reader->record->key), LOG_INT("version", reader->record->version));
        }
        if (weight(&error) > weight(worst)) {
            *worst = error;
        }
    }
    return false;
}

/* A hot copy on another replica that this one cannot reach. */
static void explain_elsewhere(const struct object_reader *reader, struct error *error) {
    if (error->code != ERROR_NOT_FOUND || !record_in_tier(reader->record, WAYBILL__V1__TIER__TIER_HOT)) {
        return;
    }
    const char *replica = reader->record->locations[0]->replica;
    error_set(error, ERROR_UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA", "the object is in the hot volumes of \"%s\"",
              replica);
    error_set_detail(error, "replica", "%s", replica);
}

struct object_reader *object_reader_open(const struct object_reader_ports *ports, const Waybill__V1__Record *record,
                                         struct error *error) {
    struct object_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        abort();
    }
    reader->ports = *ports;
    reader->record = record;
    bool good = uuid_parse_text(record->payload_id, &reader->payload_id) ||
                error_set(error, ERROR_FAILED_PRECONDITION, "NO_PAYLOAD", "the record has no payload");
    if (good && !open_from(reader, COPY_HOT, error)) {
        explain_elsewhere(reader, error);
        good = false;
    }
    if (!good) {
        free(reader);
        return NULL;
    }
    *error = (struct error){0};
    return reader;
}

enum read_source object_reader_source(const struct object_reader *reader) {
    switch (reader->copy) {
    case COPY_HOT:
        return READ_FROM_HOT;
    case COPY_COLD:
        return READ_FROM_COLD;
    case COPY_SPOOL:
    case COPY_NONE:
        break;
    }
    return READ_FROM_SPOOL;
}

static int64_t read_copy(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    int64_t got = reader->hot != NULL    ? hot_reader_read(reader->hot, offset, out, size, error)
                  : reader->cold != NULL ? cold_reader_read(reader->cold, offset, out, size, error)
                                         : spool_reader_read(reader->spool, offset, out, size, error);
    if (got == 0 && size > 0 && offset < (uint64_t)reader->record->size) {
        error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        return -1;
    }
    return got;
}

int64_t object_reader_read(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    struct error worst = {0};
    for (;;) {
        struct error cause = {0};
        int64_t got = read_copy(reader, offset, out, size, &cause);
        if (got >= 0) {
            return got;
        }
        if (cause.code != ERROR_NOT_FOUND) {
            log_error("copy_unreadable", LOG_ERROR(&cause), LOG_STR("bucket", reader->record->bucket),
                      LOG_STR("key", reader->record->key), LOG_INT("version", reader->record->version));
        }
        if (weight(&cause) > weight(&worst)) {
            worst = cause;
        }
        close_copy(reader);
        if (!open_from(reader, reader->copy + 1, &worst)) {
            *error = worst;
            return -1;
        }
    }
}

void object_reader_close(struct object_reader *reader) {
    if (reader != NULL) {
        close_copy(reader);
        free(reader);
    }
}
