#include "object-svc/upstream/object_catalog.h"

#include "object-svc/upstream/metadata_client_parts.h"
#include "waybill/v1/report_service.pb-c.h"

enum { CALL_TIMEOUT_MS = 30000 };

static const struct rpc_call_options call_options = {.timeout_ms = CALL_TIMEOUT_MS, .max_attempts = 3};

static char *replica_in(const struct metadata_client *client, enum object_tier tier) {
    return tier == OBJECT_TIER_HOT ? client->replica : (char *)(uintptr_t) "";
}

static Waybill__V1__ObjectName *name_to_proto(const struct object_name *name, struct arena *arena) {
    Waybill__V1__ObjectName *message = arena_alloc(arena, sizeof *message);
    waybill__v1__object_name__init(message);
    message->bucket = (char *)(uintptr_t)name->bucket;
    message->key = (char *)(uintptr_t)name->key;
    message->version = name->version;
    if (!uuid_is_zero(&name->payload_id)) {
        message->payload_id = arena_alloc(arena, UUID_TEXT_BYTES);
        uuid_print(&name->payload_id, message->payload_id);
    }
    return message;
}

static bool check_objects(void *self, enum object_tier tier, const struct object_name *names, size_t count,
                          struct arena *arena, struct object_check *checks, struct error *error) {
    struct metadata_client *client = self;
    Waybill__V1__CheckObjectsRequest request = WAYBILL__V1__CHECK_OBJECTS_REQUEST__INIT;
    request.tier = (Waybill__V1__Tier)tier;
    request.replica = replica_in(client, tier);
    request.n_objects = count;
    request.objects = arena_alloc(arena, count * sizeof *request.objects);
    for (size_t i = 0; i < count; i++) {
        request.objects[i] = name_to_proto(&names[i], arena);
    }
    ProtobufCMessage *answer;
    if (!rpc_channel_call(client->metadata, "/waybill.v1.ReportService/CheckObjects", &call_options, &request.base,
                          &waybill__v1__check_objects_response__descriptor, arena, &answer, error)) {
        return false;
    }
    const Waybill__V1__CheckObjectsResponse *response = (const Waybill__V1__CheckObjectsResponse *)answer;
    if (response->n_checks != count) {
        return error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "%zu objects got %zu answers", count, response->n_checks);
    }
    for (size_t i = 0; i < count; i++) {
        checks[i] =
            (struct object_check){(enum object_standing)response->checks[i]->standing, response->checks[i]->record};
        if (checks[i].standing != OBJECT_OBSOLETE && checks[i].record == NULL) {
            return error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "metadata-svc answered without a record");
        }
    }
    return true;
}

static bool list_objects(void *self, enum object_tier tier, const char *bucket, struct arena *arena,
                         const char **page_token, Waybill__V1__Record ***records, size_t *count, struct error *error) {
    struct metadata_client *client = self;
    Waybill__V1__ListObjectsRequest request = WAYBILL__V1__LIST_OBJECTS_REQUEST__INIT;
    request.tier = (Waybill__V1__Tier)tier;
    request.replica = replica_in(client, tier);
    request.bucket = (char *)(uintptr_t)bucket;
    request.page_size = OBJECT_CATALOG_MAX;
    request.page_token = (char *)(uintptr_t)*page_token;
    ProtobufCMessage *answer;
    if (!rpc_channel_call(client->metadata, "/waybill.v1.ReportService/ListObjects", &call_options, &request.base,
                          &waybill__v1__list_objects_response__descriptor, arena, &answer, error)) {
        return false;
    }
    const Waybill__V1__ListObjectsResponse *response = (const Waybill__V1__ListObjectsResponse *)answer;
    *records = response->records;
    *count = response->n_records;
    *page_token = response->next_page_token;
    return true;
}

struct object_catalog metadata_client_object_catalog(struct metadata_client *client) {
    return (struct object_catalog){check_objects, list_objects, client};
}
