// rooms: waybill_client
/* Updates, restores, bucket changes and listings: what is sent. What it does is for the tests
 * against real services. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/client/proto_json.h"
#include "common/client/waybill_client.h"
#include "common/rpc/rpc_server.h"

TestSuite(client_changes, .timeout = 60);

#define SERVICE "/waybill.v1.MetadataService/"

enum { VERSIONS = 7 };

/* A service that keeps the last request as JSON, and answers. */
struct service {
    struct rpc_server *server;
    struct waybill_client *client;
    struct arena arena;
    char *request;
    struct error error;
};

static pthread_mutex_t request_lock = PTHREAD_MUTEX_INITIALIZER; /* the service's request */

static ProtobufCMessage *take(struct service *service, struct rpc_call *call, const ProtobufCMessageDescriptor *type) {
    ProtobufCMessage *request = rpc_call_decode(call, type);
    pthread_mutex_lock(&request_lock);
    free(service->request);
    service->request = proto_json_line(request);
    pthread_mutex_unlock(&request_lock);
    return request;
}

static const char *last_request(struct service *service) {
    pthread_mutex_lock(&request_lock);
    const char *request = arena_strdup(&service->arena, service->request);
    pthread_mutex_unlock(&request_lock);
    return request;
}

static void update_record(void *self, struct rpc_call *call) {
    take(self, call, &waybill__v1__update_record_request__descriptor);
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.version = 2;
    Waybill__V1__UpdateRecordResponse response = WAYBILL__V1__UPDATE_RECORD_RESPONSE__INIT;
    response.record = &record;
    rpc_call_reply(call, &response.base);
}

static void restore_record(void *self, struct rpc_call *call) {
    take(self, call, &waybill__v1__restore_record_request__descriptor);
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.version = 3;
    Waybill__V1__RestoreRecordResponse response = WAYBILL__V1__RESTORE_RECORD_RESPONSE__INIT;
    response.record = &record;
    rpc_call_reply(call, &response.base);
}

static void update_bucket(void *self, struct rpc_call *call) {
    Waybill__V1__UpdateBucketRequest *request =
        (Waybill__V1__UpdateBucketRequest *)take(self, call, &waybill__v1__update_bucket_request__descriptor);
    Waybill__V1__UpdateBucketResponse response = WAYBILL__V1__UPDATE_BUCKET_RESPONSE__INIT;
    response.bucket = request->bucket;
    rpc_call_reply(call, &response.base);
}

static void delete_bucket(void *self, struct rpc_call *call) {
    take(self, call, &waybill__v1__delete_bucket_request__descriptor);
    Waybill__V1__DeleteBucketResponse response = WAYBILL__V1__DELETE_BUCKET_RESPONSE__INIT;
    rpc_call_reply(call, &response.base);
}

/* Pages of at most page_size of VERSIONS versions, newest first. */
static void list_versions(void *self, struct rpc_call *call) {
    Waybill__V1__ListRecordVersionsRequest *request = (Waybill__V1__ListRecordVersionsRequest *)take(
        self, call, &waybill__v1__list_record_versions_request__descriptor);
    Waybill__V1__Record records[VERSIONS];
    Waybill__V1__Record *list[VERSIONS];
    char token[16];
    Waybill__V1__ListRecordVersionsResponse response = WAYBILL__V1__LIST_RECORD_VERSIONS_RESPONSE__INIT;
    response.records = list;
    int next = request->page_token[0] != '\0' ? atoi(request->page_token) : VERSIONS;
    for (; next > 0 && (int32_t)response.n_records < request->page_size; next--) {
        Waybill__V1__Record *record = &records[response.n_records];
        waybill__v1__record__init(record);
        record->version = next;
        list[response.n_records++] = record;
    }
    snprintf(token, sizeof token, "%d", next);
    response.next_page_token = next > 0 ? token : (char *)"";
    rpc_call_reply(call, &response.base);
}

static struct service *start(void) {
    static struct service service;
    struct rpc_server_options options = {
        .name = "fake",
        .listen = "127.0.0.1:0",
        .queue_threads = 1,
        .blocking_threads = 1,
        .max_waiting = 4,
        .max_unary_in_flight = 4,
        .max_streams = 4,
        .max_message_bytes = 1 << 20,
    };
    char address[32];
    service = (struct service){.server = rpc_server_new(&options)};
    rpc_server_add_unary(service.server, SERVICE "UpdateRecord", RPC_BLOCKING, update_record, &service);
    rpc_server_add_unary(service.server, SERVICE "RestoreRecord", RPC_BLOCKING, restore_record, &service);
    rpc_server_add_unary(service.server, SERVICE "UpdateBucket", RPC_BLOCKING, update_bucket, &service);
    rpc_server_add_unary(service.server, SERVICE "DeleteBucket", RPC_BLOCKING, delete_bucket, &service);
    rpc_server_add_unary(service.server, SERVICE "ListRecordVersions", RPC_BLOCKING, list_versions, &service);
    cr_assert(rpc_server_start(service.server, &service.error), "%s", service.error.message);
    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(service.server));
    struct waybill_client_options client_options = {.metadata = address};
    service.client = waybill_client_new(&client_options);
    arena_init(&service.arena);
    return &service;
}

static void stop(struct service *service) {
    waybill_client_free(service->client);
    rpc_server_drain(service->server, 1000);
    rpc_server_free(service->server);
    arena_free(&service->arena);
    free(service->request);
}

#define REQUEST_ID "6f1c53d8-6a0c-4b2e-9e3a-0d1f3f6f2c11"

/* ---- records ---- */

static void update(struct service *service, struct waybill_update update) {
    Waybill__V1__Record *record;
    update.bucket = "photos";
    update.key = "a";
    update.request_id = REQUEST_ID;
    cr_assert(waybill_update_record(service->client, &update, &service->arena, &record, &service->error), "%s",
              service->error.message);
    cr_assert_eq(record->version, 2);
}

#define assert_sent(service_, rest_)                                                                                   \
    cr_assert_str_eq(last_request(service_), "{\"bucket\":\"photos\",\"key\":\"a\"," rest_ "}")

Test(client_changes, an_update_names_just_what_it_changes) {
    static const struct waybill_attribute attributes[] = {
        {.name = "x", .kind = WAYBILL_ATTRIBUTE_INT, .number = 5},
    };
    static char *const unset[] = {(char *)"y.z"};
    static const struct waybill_time then = {.seconds = 1767323045};
    static const struct waybill_time never = {.seconds = 0};
    struct service *service = start();
    update(service,
           (struct waybill_update){.attributes = attributes, .attribute_count = 1, .unset = unset, .unset_count = 1});
    assert_sent(service, "\"attributes\":{\"x\":{\"intValue\":\"5\"}},\"updateMask\":\"attributes.x,attributes.y.z\","
                         "\"requestId\":\"" REQUEST_ID "\"");
    update(service, (struct waybill_update){.attributes = attributes, .attribute_count = 1, .unset_others = true});
    assert_sent(service, "\"attributes\":{\"x\":{\"intValue\":\"5\"}},\"updateMask\":\"attributes\","
                         "\"requestId\":\"" REQUEST_ID "\"");
    update(service, (struct waybill_update){.content_type = "", .expire_time = &never});
    assert_sent(service, "\"updateMask\":\"contentType,expireTime\",\"requestId\":\"" REQUEST_ID "\"");
    update(service, (struct waybill_update){.expire_time = &then, .reason = "why", .has_if_version_match = true});
    assert_sent(service, "\"updateMask\":\"expireTime\",\"ifVersionMatch\":\"0\",\"requestId\":\"" REQUEST_ID "\","
                         "\"reason\":\"why\",\"expireTime\":\"2026-01-02T03:04:05Z\"");
    stop(service);
}

Test(client_changes, a_restore_names_the_version) {
    struct service *service = start();
    struct waybill_restore what = {.bucket = "photos",
                                   .key = "a",
                                   .version = 1,
                                   .has_if_version_match = true,
                                   .if_version_match = 2,
                                   .request_id = REQUEST_ID};
    Waybill__V1__Record *record;
    cr_assert(waybill_restore_record(service->client, &what, &service->arena, &record, &service->error));
    cr_assert_eq(record->version, 3);
    assert_sent(service, "\"version\":\"1\",\"ifVersionMatch\":\"2\",\"requestId\":\"" REQUEST_ID "\"");
    stop(service);
}

/* ---- buckets ---- */

static void update_policy(struct service *service, struct waybill_bucket_update update) {
    Waybill__V1__Bucket *bucket;
    update.bucket.name = "photos";
    update.bucket.request_id = REQUEST_ID;
    cr_assert(waybill_update_bucket(service->client, &update, &service->arena, &bucket, &service->error), "%s",
              service->error.message);
    cr_assert_str_eq(bucket->name, "photos");
}

Test(client_changes, a_bucket_update_names_just_what_it_changes) {
    struct service *service = start();
    struct waybill_bucket_update update = {.bucket = WAYBILL_BUCKET_INIT};
    update.bucket.version_retention_ms = 1500;
    update.fields = WAYBILL_BUCKET_VERSION_RETENTION | WAYBILL_BUCKET_EXPIRE_AFTER;
    update_policy(service, update);
    cr_assert_str_eq(last_request(service),
                     "{\"bucket\":{\"name\":\"photos\",\"storage\":{\"versionRetention\":\"1.500s\"}},"
                     "\"updateMask\":\"storage.expireAfter,storage.versionRetention\","
                     "\"requestId\":\"" REQUEST_ID "\"}");
    update = (struct waybill_bucket_update){.bucket = WAYBILL_BUCKET_INIT, .fields = ~0u};
    update.has_if_version_match = true;
    update.if_version_match = 4;
    update_policy(service, update);
    cr_assert_str_eq(
        last_request(service),
        "{\"bucket\":{\"name\":\"photos\",\"storage\":{}},\"updateMask\":\"storage.storageClass,"
        "storage.coldAfter,storage.expireAfter,deleteRetention,payloadDeadline,inlineMaxBytes,"
        "storage.versionRetention,storage.maxVersions,storage.promoteAfterReads,storage.overflowToCold,onFailure\","
        "\"ifVersionMatch\":\"4\",\"requestId\":\"" REQUEST_ID "\"}");
    stop(service);
}

Test(client_changes, a_bucket_is_deleted_at_its_version) {
    struct service *service = start();
    struct waybill_bucket_delete what = {
        .name = "photos", .has_if_version_match = true, .if_version_match = 3, .request_id = REQUEST_ID};
    cr_assert(waybill_delete_bucket(service->client, &what, &service->error), "%s", service->error.message);
    cr_assert_str_eq(last_request(service),
                     "{\"name\":\"photos\",\"ifVersionMatch\":\"3\",\"requestId\":\"" REQUEST_ID "\"}");
    stop(service);
}

/* ---- listings ---- */

struct seen {
    char versions[64]; /* "7 6 | 5 4 |" */
};

static bool see_versions(void *self, const Waybill__V1__ListRecordVersionsResponse *page) {
    struct seen *seen = self;
    for (size_t i = 0; i < page->n_records; i++) {
        size_t used = strlen(seen->versions);
        snprintf(seen->versions + used, sizeof seen->versions - used, "%lld ", (long long)page->records[i]->version);
    }
    strcat(seen->versions, "| ");
    return true;
}

static struct seen list(struct service *service, struct waybill_paging paging) {
    struct seen seen = {0};
    cr_assert(waybill_list_versions(service->client, "photos", "a", &paging, see_versions, &seen, &service->error));
    return seen;
}

Test(client_changes, a_listing_ends_at_its_limit) {
    struct service *service = start();
    cr_assert_str_eq(list(service, (struct waybill_paging){.page_size = 3}).versions, "7 6 5 | 4 3 2 | 1 | ");
    cr_assert_str_eq(list(service, (struct waybill_paging){.page_size = 3, .limit = 5}).versions, "7 6 5 | 4 3 | ");
    cr_assert_str_eq(list(service, (struct waybill_paging){.page_size = 3, .limit = 3}).versions, "7 6 5 | ");
    cr_assert_str_eq(list(service, (struct waybill_paging){.limit = 9}).versions, "7 6 5 4 3 2 1 | ");
    cr_assert_str_eq(list(service, (struct waybill_paging){.limit = 2, .page_token = "4"}).versions, "4 3 | ");
    assert_sent(service, "\"pageSize\":2,\"pageToken\":\"4\"");
    stop(service);
}
