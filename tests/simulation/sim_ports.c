#include "tests/simulation/sim_ports.h"

#include <stdlib.h>
#include <string.h>

#include "object-svc/read/object_reader.h"
#include "tests/simulation/sim_core.h"

enum { PULL_CHUNK_BYTES = 16 * 1024, READ_STEP_BYTES = 10000, REPORTS_MAX = 64 };

/* ---- payloads ---- */

struct payload_pull {
    struct sim_link *link;
    struct payload_range *ranges;
    size_t count;
    size_t index;
    bool begun;
    struct sim_fetch fetch;
    uint64_t offset;
    struct arena arena; /* of the payload at hand */
    uint8_t chunk[PULL_CHUNK_BYTES];
};

static struct payload_pull *pull_open(void *self, const struct payload_range *ranges, size_t count,
                                      struct error *error) {
    (void)error;
    struct payload_pull *pull = calloc(1, sizeof *pull);
    struct payload_range *copy = malloc(count * sizeof *copy);
    if (pull == NULL || copy == NULL) {
        abort();
    }
    memcpy(copy, ranges, count * sizeof *copy);
    pull->link = self;
    pull->ranges = copy;
    pull->count = count;
    arena_init(&pull->arena);
    return pull;
}

static void go_to_next(struct payload_pull *pull) {
    pull->index++;
    pull->begun = false;
    arena_free(&pull->arena);
}

static enum pull_step refuse(struct payload_pull *pull, const struct pull_event *event) {
    if (event->error.code == ERROR_UNAVAILABLE) {
        return PULL_BROKEN;
    }
    go_to_next(pull);
    return PULL_REFUSED;
}

static enum pull_step begin(struct payload_pull *pull, struct pull_event *event) {
    const struct payload_range *range = &pull->ranges[pull->index];
    if (!sim_metadata_fetch(pull->link->metadata, &range->payload_id, &pull->arena, &pull->fetch, &event->error)) {
        return refuse(pull, event);
    }
    pull->begun = true;
    pull->offset = range->offset;
    event->size_bytes = pull->fetch.size_bytes;
    event->crc32c = pull->fetch.crc32c;
    return PULL_BEGIN;
}

static enum pull_step pull_next(struct payload_pull *pull, struct pull_event *event) {
    *event = (struct pull_event){.index = pull->index};
    if (pull->index == pull->count) {
        return PULL_DONE;
    }
    if (!pull->begun) {
        return begin(pull, event);
    }
    const struct payload_range *range = &pull->ranges[pull->index];
    uint64_t end = pull->fetch.size_bytes;
    end = range->limit > 0 && range->limit < end - range->offset ? range->offset + range->limit : end;
    if (pull->offset == end) {
        sim_metadata_fetched(pull->link->metadata, &pull->fetch);
        go_to_next(pull);
        return PULL_END;
    }
    size_t part = end - pull->offset < PULL_CHUNK_BYTES ? (size_t)(end - pull->offset) : PULL_CHUNK_BYTES;
    if (sim_metadata_garbles(pull->link->metadata, &pull->fetch)) {
        error_set(&event->error, ERROR_UNAVAILABLE, PULL_GARBLED, "what came is no payload");
        return PULL_BROKEN;
    }
    if (!sim_metadata_fetch_bytes(pull->link->metadata, &pull->fetch, pull->offset, pull->chunk, part, &event->error)) {
        return refuse(pull, event);
    }
    pull->offset += part;
    event->data = bytes_of(pull->chunk, part);
    return PULL_CHUNK;
}

static void pull_close(struct payload_pull *pull) {
    arena_free(&pull->arena);
    free(pull->ranges);
    free(pull);
}

struct payload_source sim_payload_source(struct sim_link *link) {
    return (struct payload_source){pull_open, pull_next, pull_close, link};
}

/* ---- reports ---- */

bool sim_report(void *self, struct object_report *reports, size_t count, struct error *error) {
    struct sim_link *link = self;
    struct sim_report sent[REPORTS_MAX];
    SIM_CHECK(count <= REPORTS_MAX, "%zu reports at once", count);
    for (size_t i = 0; i < count; i++) {
        sent[i] = (struct sim_report){
            .bucket = reports[i].bucket,
            .key = reports[i].key,
            .version = reports[i].version,
            .payload_id = reports[i].payload_id,
            .outcome = (int)reports[i].outcome,
            .tier = (int)reports[i].tier,
            .drop_tier = (int)reports[i].drop_tier,
            .drop_due_us = reports[i].drop_due_us,
            .size_bytes = reports[i].size_bytes,
            .crc32c = reports[i].crc32c,
        };
    }
    int64_t number = report_numbers_next(&link->numbers);
    if (!sim_metadata_report(link->metadata, link->replica, number, sent, count, error)) {
        report_numbers_learn(&link->numbers, error);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        reports[i].verdict = (enum report_verdict)sent[i].verdict;
    }
    return true;
}

struct report_sink sim_report_sink(struct sim_link *link) {
    return (struct report_sink){sim_report, link};
}

static bool check_objects(void *self, enum object_tier tier, const struct object_name *names, size_t count,
                          struct arena *arena, struct object_check *checks, struct error *error) {
    struct sim_link *link = self;
    (void)arena;
    for (size_t i = 0; i < count; i++) {
        const struct object_name *name = &names[i];
        int standing;
        if (!sim_metadata_standing(link->metadata, link->replica, (int)tier, name->bucket, name->key, name->version,
                                   &name->payload_id, &standing, error)) {
            return false;
        }
        checks[i] = (struct object_check){.standing = (enum object_standing)standing};
    }
    return true;
}

struct object_catalog sim_object_catalog(struct sim_link *link) {
    return (struct object_catalog){.check = check_objects, .self = link};
}

static bool list_drops(void *self, enum object_tier tier, struct arena *arena, const char **page_token,
                       struct object_drop **drops, size_t *count, struct error *error) {
    struct sim_link *link = self;
    struct due_drop *due;
    (void)page_token;
    if (!sim_metadata_list_drops(link->metadata, link->replica, (int)tier, arena, &due, count, error)) {
        return false;
    }
    *drops = arena_alloc(arena, (*count + 1) * sizeof **drops);
    for (size_t i = 0; i < *count; i++) {
        const struct dropped_object *object = &due[i].object;
        (*drops)[i] =
            (struct object_drop){{object->bucket, object->key, object->version, due[i].payload_id}, due[i].due_us};
    }
    return true;
}

struct drop_source sim_drop_source(struct sim_link *link) {
    return (struct drop_source){list_drops, link};
}

/* ---- objects ---- */

void sim_read_object(const struct sim_reading *reading, const Waybill__V1__Record *record) {
    struct object_reader_ports ports = {
        .replica = reading->link->replica,
        .hot = reading->hot,
        .cold = reading->cold,
        .spool = sim_payload_source(reading->link),
    };
    struct uuid id;
    struct error error = {0};
    SIM_CHECK(uuid_parse_text(record->payload_id, &id), "the record's payload id is \"%s\"", record->payload_id);
    const struct model_payload *payload = model_find_payload(reading->model, &id);
    SIM_CHECK(payload != NULL, "a reader is told of a payload that nobody brought");
    struct read_span span = {0, (uint64_t)record->size};
    struct object_reader *reader = object_reader_open(&ports, record, &span, (enum read_source)0, &error);
    if (reader == NULL) {
        return;
    }
    uint8_t step[READ_STEP_BYTES];
    uint64_t offset = 0;
    int64_t got;
    while (sim_alive() && (got = object_reader_read(reader, offset, step, sizeof step, &error)) > 0) {
        model_check_bytes(payload, offset, step, (size_t)got, "a reader");
        offset += (uint64_t)got;
    }
    object_reader_close(reader);
}
