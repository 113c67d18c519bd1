#include "object-svc/upstream/drop_source.h"

#include "object-svc/upstream/metadata_client_parts.h"
#include "waybill/v1/report_service.pb-c.h"

enum { CALL_TIMEOUT_MS = 10000 };

static const struct rpc_call_options call_options = {.timeout_ms = CALL_TIMEOUT_MS, .max_attempts = 3};

static bool take_drop(const Waybill__V1__ObjectDrop *message, struct object_drop *drop, struct error *error) {
    if (message->object == NULL || message->due_time == NULL ||
        !uuid_parse_text(message->object->payload_id, &drop->object.payload_id)) {
        return error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "metadata-svc told to drop an object without a name");
    }
    drop->object.bucket = message->object->bucket;
    drop->object.key = message->object->key;
    drop->object.version = message->object->version;
    drop->due_us = message->due_time->seconds * 1000000 + message->due_time->nanos / 1000;
    return name_check_bucket(drop->object.bucket, "bucket", error) && name_check_key(drop->object.key, "key", error);
}

static bool list_drops(void *self, enum object_tier tier, struct arena *arena, const char **page_token,
                       struct object_drop **drops, size_t *count, struct error *error) {
    struct metadata_client *client = self;
    Waybill__V1__ListDropsRequest request = WAYBILL__V1__LIST_DROPS_REQUEST__INIT;
    request.tier = (Waybill__V1__Tier)tier;
    request.replica = tier == OBJECT_TIER_HOT ? client->replica : (char *)(uintptr_t) "";
    request.page_size = DROP_PAGE_MAX;
    request.page_token = (char *)(uintptr_t)*page_token;
    ProtobufCMessage *answer;
    if (!rpc_channel_call(client->metadata, "/waybill.v1.ReportService/ListDrops", &call_options, &request.base,
                          &waybill__v1__list_drops_response__descriptor, arena, &answer, error)) {
        return false;
    }
    const Waybill__V1__ListDropsResponse *response = (const Waybill__V1__ListDropsResponse *)answer;
    *drops = arena_alloc(arena, (response->n_drops + 1) * sizeof **drops);
    *count = response->n_drops;
    *page_token = response->next_page_token;
    for (size_t i = 0; i < *count; i++) {
        if (!take_drop(response->drops[i], &(*drops)[i], error)) {
            return false;
        }
    }
    return *count <= DROP_PAGE_MAX || error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "a page has too many drops");
}

struct drop_source metadata_client_drop_source(struct metadata_client *client) {
    return (struct drop_source){list_drops, client};
}
