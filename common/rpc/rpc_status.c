#include "common/rpc/rpc_status.h"

#include <stdio.h>
#include <string.h>

#include "common/base/names.h"
#include "common/rpc/proto_message.h"
#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

#define TYPE_PREFIX "type.googleapis.com/"

enum { MAX_DETAILS = 4 };

struct status_builder {
    struct arena *arena;
    Google__Protobuf__Any *details[MAX_DETAILS];
    size_t count;
};

static void add_detail(struct status_builder *builder, const ProtobufCMessage *detail) {
    Google__Protobuf__Any *any = arena_alloc(builder->arena, sizeof *any);
    google__protobuf__any__init(any);
    any->type_url = arena_printf(builder->arena, TYPE_PREFIX "%s", detail->descriptor->name);
    struct bytes wire = proto_encode(detail, builder->arena);
    any->value = (ProtobufCBinaryData){wire.size, (uint8_t *)wire.data};
    builder->details[builder->count++] = any;
}

static void add_error_info(struct status_builder *builder, const struct error *error) {
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = utf8_clean(error->reason, builder->arena);
    info.domain = "waybill";
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[] = {&entry};
    if (error->detail_key[0] != '\0') {
        entry.key = utf8_clean(error->detail_key, builder->arena);
        entry.value = utf8_clean(error->detail_value, builder->arena);
        info.n_metadata = 1;
        info.metadata = entries;
    }
    add_detail(builder, &info.base);
}

static void add_bad_request(struct status_builder *builder, const struct error *error, char *message) {
    Google__Rpc__BadRequest__FieldViolation violation = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    violation.field = utf8_clean(error->field, builder->arena);
    violation.description = message;
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    request.n_field_violations = 1;
    request.field_violations = violations;
    add_detail(builder, &request.base);
}

static void add_precondition(struct status_builder *builder, const struct error *error, char *message) {
    Google__Rpc__PreconditionFailure__Violation violation = GOOGLE__RPC__PRECONDITION_FAILURE__VIOLATION__INIT;
    Google__Rpc__PreconditionFailure__Violation *violations[] = {&violation};
    violation.type = utf8_clean(error->reason, builder->arena);
    violation.subject = utf8_clean(error->field[0] != '\0' ? error->field : error->detail_key, builder->arena);
    violation.description = message;
    Google__Rpc__PreconditionFailure failure = GOOGLE__RPC__PRECONDITION_FAILURE__INIT;
    failure.n_violations = 1;
    failure.violations = violations;
    add_detail(builder, &failure.base);
}

static void add_retry_info(struct status_builder *builder, int64_t after_ms) {
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = after_ms / 1000;
    delay.nanos = (int32_t)(after_ms % 1000) * 1000000;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    info.retry_delay = &delay;
    add_detail(builder, &info.base);
}

struct bytes rpc_status_encode(const struct error *error, struct arena *arena) {
    struct status_builder builder = {.arena = arena};
    char *message = utf8_clean(error->message, arena);
    add_error_info(&builder, error);
    if (error->field[0] != '\0') {
        add_bad_request(&builder, error, message);
    }
    bool precondition = error->code == ERROR_ABORTED || error->code == ERROR_FAILED_PRECONDITION;
    if (precondition && (error->field[0] != '\0' || error->detail_key[0] != '\0')) {
        add_precondition(&builder, error, message);
    }
    if (error->retry_after_ms > 0) {
        add_retry_info(&builder, error->retry_after_ms);
    }
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)error->code;
    status.message = message;
    status.n_details = builder.count;
    status.details = builder.details;
    return proto_encode(&status.base, arena);
}

/* The detail's message when it is of this type. */
static ProtobufCMessage *detail_as(const Google__Protobuf__Any *any, const ProtobufCMessageDescriptor *type,
                                   struct arena *arena) {
    const char *slash = strrchr(any->type_url, '/');
    if (slash == NULL || strcmp(slash + 1, type->name) != 0) {
        return NULL;
    }
    struct error ignored;
    return proto_decode(type, bytes_of(any->value.data, any->value.len), arena, &ignored);
}

static void take_error_info(const Google__Rpc__ErrorInfo *info, struct error *error) {
    snprintf(error->reason, sizeof error->reason, "%s", info->reason);
    if (info->n_metadata > 0) {
        error_set_detail(error, info->metadata[0]->key, "%s", info->metadata[0]->value);
    }
}

static void take_retry_info(const Google__Rpc__RetryInfo *info, struct error *error) {
    enum { LONGEST_S = 24 * 3600 };
    const Google__Protobuf__Duration *delay = info->retry_delay;
    if (delay != NULL && delay->seconds >= 0 && delay->nanos >= 0) {
        int64_t seconds = delay->seconds < LONGEST_S ? delay->seconds : LONGEST_S;
        error->retry_after_ms = seconds * 1000 + delay->nanos / 1000000;
    }
}

static void take_detail(const Google__Protobuf__Any *any, struct arena *arena, struct error *error) {
    ProtobufCMessage *found;
    if ((found = detail_as(any, &google__rpc__error_info__descriptor, arena)) != NULL) {
        take_error_info((const Google__Rpc__ErrorInfo *)found, error);
    } else if ((found = detail_as(any, &google__rpc__bad_request__descriptor, arena)) != NULL) {
        const Google__Rpc__BadRequest *request = (const Google__Rpc__BadRequest *)found;
        if (request->n_field_violations > 0) {
            snprintf(error->field, sizeof error->field, "%s", request->field_violations[0]->field);
        }
    } else if ((found = detail_as(any, &google__rpc__retry_info__descriptor, arena)) != NULL) {
        take_retry_info((const Google__Rpc__RetryInfo *)found, error);
    }
}

bool rpc_status_decode(struct bytes wire, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    struct error ignored;
    const Google__Rpc__Status *status =
        (const Google__Rpc__Status *)proto_decode(&google__rpc__status__descriptor, wire, &arena, &ignored);
    if (status != NULL) {
        for (size_t i = 0; i < status->n_details; i++) {
            take_detail(status->details[i], &arena, error);
        }
    }
    arena_free(&arena);
    return status != NULL;
}
