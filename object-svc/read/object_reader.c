#include "object-svc/read/object_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "object-svc/read/spool_reader.h"

/* A place where the object may be. */
struct candidate {
    enum read_source source;
    const char *replica; /* for READ_FROM_PEER; the record's */
};

struct object_reader {
    struct object_reader_ports ports;
    const Waybill__V1__Record *record;
    struct read_span span;
    struct uuid payload_id;
    struct candidate *candidates; /* in the order in which they are tried */
    size_t count;
    size_t current; /* the one that is open; count: none */
    struct hot_reader *hot;
    struct peer_reader *peer;
    struct cold_reader *cold;
    struct spool_reader *spool;
    struct error worst; /* of the reasons why copies were left */
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
    peer_reader_close(reader->peer);
    spool_reader_close(reader->spool);
    reader->hot = NULL;
    reader->peer = NULL;
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

static bool open_cold(struct object_reader *reader, struct error *error) {
    const Waybill__V1__Record *record = reader->record;
    struct cold_name name = {record->bucket, record->key, record->payload_version};
    /* A record that came out of a backup may not know of its object's move from hot. */
    if (!record_in_tier(record, WAYBILL__V1__TIER__TIER_COLD) && !record_in_tier(record, WAYBILL__V1__TIER__TIER_HOT)) {
        return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the object is not in the cold store");
    }
    reader->cold = cold_store_open_object(reader->ports.cold, &name, error);
    return reader->cold != NULL && is_the_object(reader, cold_reader_provenance(reader->cold), error);
}

static bool open_peer(struct object_reader *reader, const char *replica, struct error *error) {
    struct peer_object object = {
        .replica = replica,
        .payload_id = reader->payload_id,
        .size_bytes = (uint64_t)reader->record->size,
        .crc32c = reader->record->crc32c,
    };
    reader->peer = peer_reader_open(&reader->ports.peers, &object, reader->span.offset, reader->span.end, error);
    return reader->peer != NULL;
}

static bool open_copy(struct object_reader *reader, const struct candidate *candidate, struct error *error) {
    switch (candidate->source) {
    case READ_FROM_HOT:
        reader->hot = hot_store_open_object(reader->ports.hot, &reader->payload_id, error);
        return reader->hot != NULL && is_the_object(reader, hot_reader_provenance(reader->hot), error);
    case READ_FROM_PEER:
        return open_peer(reader, candidate->replica, error);
    case READ_FROM_COLD:
        return open_cold(reader, error);
    case READ_FROM_SPOOL:
        reader->spool = spool_reader_open(&reader->ports.spool, &reader->payload_id, error);
        return reader->spool != NULL;
    }
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "no copy is left");
}

/* What is near first; the spool last, which other work is waiting for. */
static void find_candidates(struct object_reader *reader, enum read_source skip) {
    const Waybill__V1__Record *record = reader->record;
    struct candidate all[3] = {{READ_FROM_HOT, NULL}, {READ_FROM_COLD, NULL}, {READ_FROM_SPOOL, NULL}};
    reader->candidates = calloc(record->n_locations + 3, sizeof *reader->candidates);
    if (reader->candidates == NULL) {
        abort();
    }
    for (size_t i = 0; i < 3; i++) {
        if (all[i].source != skip) {
            reader->candidates[reader->count++] = all[i];
        }
        for (size_t j = 0; i == 0 && skip != READ_FROM_PEER && j < record->n_locations; j++) {
            const Waybill__V1__Location *location = record->locations[j];
            if (location->tier == WAYBILL__V1__TIER__TIER_HOT &&
                strcmp(location->replica, reader->ports.replica) != 0) {
                reader->candidates[reader->count++] = (struct candidate){READ_FROM_PEER, location->replica};
            }
        }
    }
}

/* ---- leaving a copy for the next ---- */

/* Which of the reasons why copies cannot be read the caller should hear: a copy that is out of
 * reach may be good, so trying again may help; damage is worth more than a copy that is simply
 * elsewhere. */
static int weight(const struct error *error) {
    switch (error->code) {
    case ERROR_OK:
        return 0;
    case ERROR_NOT_FOUND:
        return 1;
    case ERROR_UNAVAILABLE:
    case ERROR_RESOURCE_EXHAUSTED:
        return 4;
    case ERROR_DATA_LOSS:
        return 3;
    default:
        return 2;
    }
}

/* A place on the disk that cannot be read is as good as damaged. */
static bool is_damage(const struct error *error) {
    return error->code == ERROR_DATA_LOSS || strcmp(error->reason, "IO_ERROR") == 0;
}

static const char *const source_names[] = {NULL, "hot", "peer", "cold", "spool"};

static void note_failure(struct object_reader *reader, const struct error *cause) {
    const Waybill__V1__Record *record = reader->record;
    enum read_source source = object_reader_source(reader);
    if (is_damage(cause)) {
        struct damaged_copy copy = {record, source};
        log_error("corrupt_copy", LOG_ERROR(cause), LOG_STR("bucket", record->bucket), LOG_STR("key", record->key),
                  LOG_INT("version", record->version), LOG_STR("source", source_names[source]));
        if (reader->ports.on_corrupt != NULL) {
            reader->ports.on_corrupt(reader->ports.self, &copy);
        }
    }
    if (weight(cause) > weight(&reader->worst)) {
        reader->worst = *cause;
    }
}

/* Opens the first copy from `first` on that opens. */
static bool open_from(struct object_reader *reader, size_t first) {
    for (reader->current = first; reader->current < reader->count; reader->current++) {
        struct error error = {0};
        if (open_copy(reader, &reader->candidates[reader->current], &error)) {
            return true;
        }
        note_failure(reader, &error);
        close_copy(reader);
    }
    return false;
}

struct object_reader *object_reader_open(const struct object_reader_ports *ports, const Waybill__V1__Record *record,
                                         const struct read_span *span, enum read_source skip, struct error *error) {
    struct object_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        abort();
    }
    reader->ports = *ports;
    reader->record = record;
    reader->span = *span;
    bool good = uuid_parse_text(record->payload_id, &reader->payload_id) ||
                error_set(&reader->worst, ERROR_FAILED_PRECONDITION, "NO_PAYLOAD", "the record has no payload");
    if (good) {
        find_candidates(reader, skip);
        good = open_from(reader, 0);
    }
    if (!good) {
        *error = reader->worst;
        object_reader_close(reader);
        return NULL;
    }
    return reader;
}

enum read_source object_reader_source(const struct object_reader *reader) {
    assert(reader->current < reader->count);
    return reader->candidates[reader->current].source;
}

const struct provenance *object_reader_provenance(const struct object_reader *reader) {
    return reader->hot != NULL    ? hot_reader_provenance(reader->hot)
           : reader->cold != NULL ? cold_reader_provenance(reader->cold)
                                  : NULL;
}

static int64_t read_copy(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    int64_t got = reader->hot != NULL    ? hot_reader_read(reader->hot, offset, out, size, error)
                  : reader->peer != NULL ? peer_reader_read(reader->peer, offset, out, size, error)
                  : reader->cold != NULL ? cold_reader_read(reader->cold, offset, out, size, error)
                                         : spool_reader_read(reader->spool, offset, out, size, error);
    if (got == 0 && size > 0 && offset < (uint64_t)reader->record->size) {
        error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        return -1;
    }
    return got;
}

int64_t object_reader_read(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    for (;;) {
        struct error cause = {0};
        int64_t got = read_copy(reader, offset, out, size, &cause);
        if (got >= 0) {
            return got;
        }
        /* That another replica goes away is nothing to worry about. */
        if (cause.code != ERROR_NOT_FOUND && !is_damage(&cause) && reader->peer == NULL) {
            log_error("copy_unreadable", LOG_ERROR(&cause), LOG_STR("bucket", reader->record->bucket),
                      LOG_STR("key", reader->record->key), LOG_INT("version", reader->record->version));
        }
        note_failure(reader, &cause);
        close_copy(reader);
        reader->span.offset = offset;
        if (!open_from(reader, reader->current + 1)) {
            *error = reader->worst;
            return -1;
        }
    }
}

void object_reader_close(struct object_reader *reader) {
    if (reader != NULL) {
        close_copy(reader);
        free(reader->candidates);
        free(reader);
    }
}
