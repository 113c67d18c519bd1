#include "object-svc/tier/tier_core.h"

#include <stdlib.h>

#include "common/base/log.h"

enum { MOVE_STEP_BYTES = 1024 * 1024 };

struct due_list {
    struct hot_object *objects;
    size_t count;
};

static bool add_due(void *context, const struct hot_object *object) {
    struct due_list *due = context;
    due->objects[due->count++] = *object;
    return due->count < TIER_ROUND_OBJECTS;
}

/* Streams the verified hot bytes into the cold store. */
static bool copy_to_cold(const struct tier_ports *ports, struct hot_reader *reader, struct error *error) {
    const struct provenance *provenance = hot_reader_provenance(reader);
    struct cold_writer *writer = cold_store_begin(ports->cold, provenance, error);
    if (writer == NULL) {
        return false;
    }
    uint8_t *step = malloc(MOVE_STEP_BYTES);
    if (step == NULL) {
        abort();
    }
    bool good = true;
    uint64_t offset = 0;
    while (good && offset < provenance->size_bytes) {
        int64_t read = hot_reader_read(reader, offset, step, MOVE_STEP_BYTES, error);
        if (read == 0) {
            error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the hot copy is shorter than its record says");
        }
        good = read > 0 && cold_writer_append(writer, bytes_of(step, (size_t)read), error);
        offset += good ? (uint64_t)read : 0;
    }
    free(step);
    if (!good) {
        cold_writer_abort(writer);
        return false;
    }
    return cold_writer_finish(writer, error) && cold_store_verify(ports->cold, provenance, error);
}

static bool give_up_hot_copy(const struct tier_ports *ports, const struct hot_object *object, struct error *error) {
    return hot_store_remove(ports->hot, &object->payload_id, 1, error);
}

static bool report_move(const struct tier_ports *ports, const struct bucket_policy *policy,
                        const struct hot_object *object, struct error *error) {
    struct object_report report = {
        .bucket = object->bucket,
        .key = object->key,
        .version = object->version,
        .payload_id = object->payload_id,
        .outcome = OBJECT_TIERED,
        .tier = OBJECT_TIER_COLD,
        .drop_tier = policy->leaves_hot ? OBJECT_TIER_HOT : OBJECT_TIER_NONE,
        .size_bytes = object->size_bytes,
        .crc32c = object->crc32c,
    };
    if (!ports->sink.report(ports->sink.self, &report, 1, error)) {
        return false;
    }
    switch (report.verdict) {
    case REPORT_ACCEPTED:
        return policy->leaves_hot ? give_up_hot_copy(ports, object, error)
                                  : hot_store_note_cold_copy(ports->hot, &object->payload_id, true, error);
    case REPORT_OBSOLETE:
        /* Nobody wants the version. Its cold copy is left to the scrubber: another replica may
         * hold the same object. */
        return give_up_hot_copy(ports, object, error);
    case REPORT_REJECTED:
        break;
    }
    return error_set(error, ERROR_FAILED_PRECONDITION, "REPORT_REJECTED", "metadata-svc did not accept the move");
}

static bool move_object(const struct tier_ports *ports, const struct bucket_policy *policy,
                        const struct hot_object *object, struct error *error) {
    struct hot_reader *reader = hot_store_open_object(ports->hot, &object->payload_id, error);
    if (reader == NULL) {
        return false;
    }
    bool good = copy_to_cold(ports, reader, error);
    hot_reader_close(reader);
    return good && report_move(ports, policy, object, error);
}

bool tier_core_run(const struct tier_ports *ports, const struct bucket_policy *policy, struct tier_round *round) {
    struct error error = {0};
    struct due_list due = {.objects = calloc(TIER_ROUND_OBJECTS, sizeof(struct hot_object))};
    if (due.objects == NULL) {
        abort();
    }
    int64_t before_us = clock_unix_us(ports->clock) - policy->cold_after_us + 1;
    bool good =
        !policy->goes_cold || hot_store_visit_aged(ports->hot, policy->bucket, false, before_us, add_due, &due, &error);
    if (!good) {
        log_error("tier_walk_failed", LOG_ERROR(&error), LOG_STR("bucket", policy->bucket));
    }
    uint64_t failed = 0;
    for (size_t i = 0; good && i < due.count; i++) {
        const struct hot_object *object = &due.objects[i];
        error = (struct error){0};
        if (move_object(ports, policy, object, &error)) {
            round->moved_objects++;
            round->moved_bytes += object->size_bytes;
        } else if (error.code != ERROR_NOT_FOUND) {
            failed++;
            log_warn("tier_move_failed", LOG_ERROR(&error), LOG_STR("bucket", object->bucket),
                     LOG_STR("key", object->key), LOG_INT("version", object->version));
        }
        if (error.code == ERROR_DATA_LOSS && ports->on_corrupt != NULL) {
            ports->on_corrupt(ports->self, object);
        }
        if (error.code == ERROR_UNAVAILABLE) {
            break; /* whoever is away is away for the others too */
        }
    }
    round->failed_objects += failed;
    bool more = due.count == TIER_ROUND_OBJECTS && failed == 0;
    free(due.objects);
    return more;
}
