#include "object-svc/upstream/metadata_client.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "object-svc/upstream/metadata_client_parts.h"
#include "waybill/v1/metadata_service.pb-c.h"
#include "waybill/v1/report_service.pb-c.h"

enum { MESSAGE_MAX_BYTES = 8 * 1024 * 1024, CALL_TIMEOUT_MS = 10000, READ_PATIENCE_MS = 5000, POLICY_PAGE = 1000 };

struct metadata_client *metadata_client_new(const char *metadata_target, const char *payload_target,
                                            const char *replica) {
    struct metadata_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        abort();
    }
    client->metadata = rpc_channel_new(metadata_target, MESSAGE_MAX_BYTES);
    client->payloads = rpc_channel_new(payload_target, MESSAGE_MAX_BYTES);
    client->replica = strdup(replica);
    client->numbers.clock = &system_clock;
    if (client->replica == NULL) {
        abort();
    }
    return client;
}

void metadata_client_free(struct metadata_client *client) {
    if (client != NULL) {
        rpc_channel_free(client->metadata);
        rpc_channel_free(client->payloads);
        free(client->replica);
        free(client);
    }
}

/* Whoever reports or asks for policies tries again later. */
static const struct rpc_call_options call_options = {.timeout_ms = CALL_TIMEOUT_MS, .max_attempts = 3};
/* Readers wait: a restart of metadata-svc is no error to them. */
static const struct rpc_call_options read_options = {.timeout_ms = READ_PATIENCE_MS, .max_attempts = UINT_MAX};

bool metadata_client_get_record(struct metadata_client *client, const char *bucket, const char *key, int64_t version,
                                struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    Waybill__V1__GetRecordRequest request = WAYBILL__V1__GET_RECORD_REQUEST__INIT;
    request.bucket = (char *)(uintptr_t)bucket;
    request.key = (char *)(uintptr_t)key;
    request.version = version;
    ProtobufCMessage *response;
    if (!rpc_channel_call(client->metadata, "/waybill.v1.MetadataService/GetRecord", &read_options, &request.base,
                          &waybill__v1__get_record_response__descriptor, arena, &response, error)) {
        return false;
    }
    *record = ((Waybill__V1__GetRecordResponse *)response)->record;
    return *record != NULL || error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "metadata-svc answered without a record");
}

static struct bucket_policy policy_of(const Waybill__V1__Bucket *bucket) {
    struct bucket_policy policy = {0};
    strncpy(policy.bucket, bucket->name, sizeof policy.bucket - 1);
    uuid_parse_text(bucket->uid, &policy.uid);
    policy.was_changed = bucket->version > 1;
    if (bucket->storage != NULL) {
        Waybill__V1__StorageClass class = bucket->storage->storage_class;
        policy.storage_class = (int)class;
        policy.leaves_hot = class == WAYBILL__V1__STORAGE_CLASS__STORAGE_CLASS_COLD;
        policy.goes_cold = policy.leaves_hot || class == WAYBILL__V1__STORAGE_CLASS__STORAGE_CLASS_HOT_AND_COLD;
        policy.promote_after_reads = (unsigned)bucket->storage->promote_after_reads;
        policy.overflows = policy.goes_cold || bucket->storage->overflow_to_cold;
        if (bucket->storage->cold_after != NULL) {
            policy.cold_after_us =
                bucket->storage->cold_after->seconds * 1000000 + bucket->storage->cold_after->nanos / 1000;
        }
    }
    return policy;
}

bool metadata_client_list_policies(struct metadata_client *client, struct bucket_policy **policies, size_t *count,
                                   struct error *error) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__ListBucketsRequest request = WAYBILL__V1__LIST_BUCKETS_REQUEST__INIT;
    request.page_size = POLICY_PAGE;
    bool good = true;
    *policies = NULL;
    *count = 0;
    do {
        ProtobufCMessage *answer;
        good = rpc_channel_call(client->metadata, "/waybill.v1.MetadataService/ListBuckets", &call_options,
                                &request.base, &waybill__v1__list_buckets_response__descriptor, &arena, &answer, error);
        if (!good) {
            break;
        }
        Waybill__V1__ListBucketsResponse *page = (Waybill__V1__ListBucketsResponse *)answer;
        struct bucket_policy *grown = realloc(*policies, (*count + page->n_buckets + 1) * sizeof *grown);
        if (grown == NULL) {
            abort();
        }
        *policies = grown;
        for (size_t i = 0; i < page->n_buckets; i++) {
            grown[(*count)++] = policy_of(page->buckets[i]);
        }
        request.page_token = page->next_page_token;
    } while (request.page_token[0] != '\0');
    if (!good) {
        free(*policies);
        *policies = NULL;
        *count = 0;
    }
    arena_free(&arena);
    return good;
}

static Waybill__V1__ObjectReport *report_to_proto(const struct object_report *report, struct arena *arena) {
    Waybill__V1__ObjectReport *message = arena_alloc(arena, sizeof *message);
    waybill__v1__object_report__init(message);
    message->bucket = (char *)(uintptr_t)report->bucket;
    message->key = (char *)(uintptr_t)report->key;
    message->version = report->version;
    message->payload_id = arena_alloc(arena, UUID_TEXT_BYTES);
    uuid_print(&report->payload_id, message->payload_id);
    message->outcome = (Waybill__V1__ObjectOutcome)report->outcome;
    message->tier = (Waybill__V1__Tier)report->tier;
    message->drop_tier = (Waybill__V1__Tier)report->drop_tier;
    if (report->drop_due_us != 0) {
        message->drop_due_time = arena_alloc(arena, sizeof *message->drop_due_time);
        google__protobuf__timestamp__init(message->drop_due_time);
        message->drop_due_time->seconds = report->drop_due_us / 1000000;
        message->drop_due_time->nanos = (int32_t)(report->drop_due_us % 1000000) * 1000;
    }
    message->size = (int64_t)report->size_bytes;
    message->crc32c = report->crc32c;
    if (report->error_reason != NULL) {
        message->error_reason = (char *)(uintptr_t)report->error_reason;
        message->error_message = (char *)(uintptr_t)report->error_message;
        message->attempts = (int32_t)report->attempts;
    }
    return message;
}

static bool send_reports(struct metadata_client *client, struct object_report *reports, size_t count,
                         struct error *error) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__ReportObjectsRequest request = WAYBILL__V1__REPORT_OBJECTS_REQUEST__INIT;
    request.replica = client->replica;
    request.n_reports = count;
    request.reports = arena_alloc(&arena, count * sizeof *request.reports);
    for (size_t i = 0; i < count; i++) {
        request.reports[i] = report_to_proto(&reports[i], &arena);
    }
    request.number = report_numbers_next(&client->numbers);
    ProtobufCMessage *answer;
    bool good =
        rpc_channel_call(client->metadata, "/waybill.v1.ReportService/ReportObjects", &call_options, &request.base,
                         &waybill__v1__report_objects_response__descriptor, &arena, &answer, error);
    if (good) {
        Waybill__V1__ReportObjectsResponse *response = (Waybill__V1__ReportObjectsResponse *)answer;
        good = response->n_results == count || error_set(error, ERROR_INTERNAL, "BAD_ANSWER",
                                                         "%zu reports got %zu answers", count, response->n_results);
        for (size_t i = 0; good && i < count; i++) {
            reports[i].verdict = (enum report_verdict)response->results[i]->verdict;
        }
    } else {
        report_numbers_learn(&client->numbers, error);
    }
    arena_free(&arena);
    return good;
}

static bool report_objects(void *self, struct object_report *reports, size_t count, struct error *error) {
    for (size_t done = 0; done < count; done += REPORT_MAX) {
        size_t part = count - done < REPORT_MAX ? count - done : REPORT_MAX;
        if (!send_reports(self, reports + done, part, error)) {
            return false;
        }
    }
    return true;
}

struct report_sink metadata_client_report_sink(struct metadata_client *client) {
    return (struct report_sink){report_objects, client};
}
