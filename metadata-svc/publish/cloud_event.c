#include "metadata-svc/publish/cloud_event.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* RFC 3339, in microseconds. */
static char *time_text(const Google__Protobuf__Timestamp *timestamp, struct arena *arena) {
    time_t seconds = timestamp != NULL ? (time_t)timestamp->seconds : 0;
    struct tm parts;
    char date[32];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    return arena_printf(arena, "%s.%06dZ", date, timestamp != NULL ? timestamp->nanos / 1000 : 0);
}

static void add_header(struct cloud_event *event, const char *name, const char *value) {
    event->headers[event->header_count++] = (struct stream_header){name, value};
}

bool cloud_event_make(const char *shard, struct bytes wire, struct arena *arena, struct cloud_event *event,
                      struct error *error) {
    Waybill__V1__ChangeEvent *change = waybill__v1__change_event__unpack(arena_protobuf(arena), wire.size, wire.data);
    if (change == NULL || (change->record == NULL && change->bucket == NULL)) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a stored change event cannot be decoded");
    }
    char id[STREAM_MESSAGE_ID_BYTES];
    cloud_event_message_id(shard, change->revision, id);
    const char *bucket = change->record != NULL ? change->record->bucket : change->bucket->name;
    char *type = type_token(change->type, arena);
    *event = (struct cloud_event){
        .subject = arena_printf(arena, "waybill.changes.%s.%s.%s", shard, bucket, type),
        .message_id = arena_strdup(arena, id),
    };
    add_header(event, "ce-specversion", "1.0");
    add_header(event, "ce-id", event->message_id);
    add_header(event, "ce-source", arena_printf(arena, "/waybill/%s", shard));
    add_header(event, "ce-type", arena_printf(arena, "waybill.v1.%s", type));
    add_header(event, "ce-subject",
               change->record != NULL ? arena_printf(arena, "%s/%s", bucket, percent_encode(change->record->key, arena))
                                      : bucket);
    add_header(event, "ce-time", time_text(change->commit_time, arena));
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
