#include "metadata-svc/publish/cloud_event.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/wire_reader.h"
#include "waybill/v1/event.pb-c.h"

/* "CHANGE_TYPE_BUCKET_CREATED" as "bucket_created". */
static char *type_token(Waybill__V1__ChangeType type, struct arena *arena) {
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&waybill__v1__change_type__descriptor, (int)type);
    const char *name = value != NULL ? value->name + strlen("CHANGE_TYPE_") : "unknown";
    char *token = arena_strdup(arena, name);
    for (char *at = token; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    return token;
}

/* Header values are ASCII: what a URI does not take as it is, is percent-encoded (RFC 3986). */
static char *percent_encode(const char *text, struct arena *arena) {
    char *out = arena_alloc(arena, 3 * strlen(text) + 1);
    char *at = out;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~/", c) != NULL) {
            *at++ = (char)c;
        } else {
            at += sprintf(at, "%%%02X", c);
        }
    }
    *at = '\0';
    return out;
}

/* What the headers tell of an event. */
struct event_facts {
    int64_t revision;
    Waybill__V1__ChangeType type;
    int64_t seconds;
    int64_t nanos;
    const char *bucket;
    const char *key; /* NULL: a change of the bucket */
};

enum {
    EVENT_REVISION = 2,
    EVENT_TYPE = 3,
    EVENT_COMMIT_TIME = 4,
    EVENT_RECORD = 8,
    EVENT_BUCKET = 9,
    TIMESTAMP_SECONDS = 1,
    TIMESTAMP_NANOS = 2,
    RECORD_BUCKET = 1,
    RECORD_KEY = 2,
    BUCKET_NAME = 1
};

static const char *text_of(const struct wire_field *field, struct arena *arena) {
    char *text = arena_zalloc(arena, field->bytes.size + 1);
    memcpy(text, field->bytes.data, field->bytes.size);
    return text;
}

static bool read_time(struct bytes wire, struct event_facts *facts) {
    struct wire_field field;
    while (wire_next(&wire, &field)) {
        if (field.number == TIMESTAMP_SECONDS) {
            facts->seconds = (int64_t)field.value;
        } else if (field.number == TIMESTAMP_NANOS) {
            facts->nanos = (int64_t)field.value;
        }
    }
    return wire.size == 0;
}

static bool read_record(struct bytes wire, struct arena *arena, struct event_facts *facts) {
    struct wire_field field;
    facts->key = "";
    while (wire_next(&wire, &field)) {
        if (field.number == RECORD_BUCKET) {
            facts->bucket = text_of(&field, arena);
        } else if (field.number == RECORD_KEY) {
            facts->key = text_of(&field, arena);
        }
    }
    return wire.size == 0;
}

static bool read_bucket(struct bytes wire, struct arena *arena, struct event_facts *facts) {
    struct wire_field field;
    while (wire_next(&wire, &field)) {
        if (field.number == BUCKET_NAME) {
            facts->bucket = text_of(&field, arena);
        }
    }
    return wire.size == 0;
}

/* Decoding the whole event would cost more than all else that publishing it takes. */
static bool read_facts(struct bytes wire, struct arena *arena, struct event_facts *facts) {
    struct wire_field field;
    bool good = true;
    *facts = (struct event_facts){0};
    while (good && wire_next(&wire, &field)) {
        switch (field.number) {
        case EVENT_REVISION:
            facts->revision = (int64_t)field.value;
            break;
        case EVENT_TYPE:
            facts->type = (Waybill__V1__ChangeType)field.value;
            break;
        case EVENT_COMMIT_TIME:
            good = read_time(field.bytes, facts);
            break;
        case EVENT_RECORD:
            good = read_record(field.bytes, arena, facts);
            break;
        case EVENT_BUCKET:
            good = read_bucket(field.bytes, arena, facts);
            break;
        default:
            break;
        }
    }
    return good && wire.size == 0 && facts->bucket != NULL;
}

/* RFC 3339, in microseconds. */
static char *time_text(const struct event_facts *facts, struct arena *arena) {
    time_t seconds = (time_t)facts->seconds;
    struct tm parts;
    char date[32];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    return arena_printf(arena, "%s.%06dZ", date, (int)(facts->nanos / 1000));
}

static void add_header(struct cloud_event *event, const char *name, const char *value) {
    event->headers[event->header_count++] = (struct stream_header){name, value};
}

bool cloud_event_make(const char *shard, struct bytes wire, struct arena *arena, struct cloud_event *event,
                      struct error *error) {
    struct event_facts facts;
    if (!read_facts(wire, arena, &facts)) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a stored change event cannot be decoded");
    }
    char id[STREAM_MESSAGE_ID_BYTES];
    cloud_event_message_id(shard, facts.revision, id);
    char *type = type_token(facts.type, arena);
    *event = (struct cloud_event){
        .subject = arena_printf(arena, "waybill.changes.%s.%s.%s", shard, facts.bucket, type),
        .message_id = arena_strdup(arena, id),
    };
    add_header(event, "ce-specversion", "1.0");
    add_header(event, "ce-id", event->message_id);
    add_header(event, "ce-source", arena_printf(arena, "/waybill/%s", shard));
    add_header(event, "ce-type", arena_printf(arena, "waybill.v1.%s", type));
    add_header(event, "ce-subject",
               facts.key != NULL ? arena_printf(arena, "%s/%s", facts.bucket, percent_encode(facts.key, arena))
                                 : facts.bucket);
    add_header(event, "ce-time", time_text(&facts, arena));
    add_header(event, "ce-dataschema", "urn:waybill:proto:waybill.v1.ChangeEvent");
    add_header(event, "content-type", "application/protobuf");
    return true;
}

void cloud_event_message_id(const char *shard, int64_t revision, char id[STREAM_MESSAGE_ID_BYTES]) {
    snprintf(id, STREAM_MESSAGE_ID_BYTES, "%s-%lld", shard, (long long)revision);
}

int64_t cloud_event_revision(const char *shard, const char *message_id) {
    size_t size = strlen(shard);
    if (strncmp(message_id, shard, size) != 0 || message_id[size] != '-') {
        return 0;
    }
    char *end;
    long long revision = strtoll(message_id + size + 1, &end, 10);
    return *end == '\0' && revision > 0 ? revision : 0;
}
