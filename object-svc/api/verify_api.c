#include "object-svc/api/verify_api.h"

#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "object-svc/read/serving_record.h"
#include "waybill/v1/object_service.pb-c.h"

enum { STEP_BYTES = 1024 * 1024, RUNNING_MAX = 2, BUSY_RETRY_AFTER_MS = 1000 };

/* One copy that is read from its begin to its end. */
struct copy {
    struct verify_api *api;
    struct rpc_call *call;
    const Waybill__V1__Record *record;
    struct uuid payload_id;
    struct hot_reader *hot;
    struct peer_reader *peer;
    struct cold_reader *cold;
};

static bool is_the_object(const struct copy *copy, const struct provenance *found, struct error *error) {
    return (uuid_equal(&found->payload_id, &copy->payload_id) && found->size_bytes == (uint64_t)copy->record->size &&
            found->crc32c == copy->record->crc32c) ||
           error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is not the object that the record describes");
}

static bool open_copy(struct copy *copy, const Waybill__V1__Location *location, struct error *error) {
    const struct object_reader_ports *ports = &copy->api->ports;
    const Waybill__V1__Record *record = copy->record;
    if (location->tier == WAYBILL__V1__TIER__TIER_COLD) {
        struct cold_name name = {record->bucket, record->key, record->payload_version};
        copy->cold = cold_store_open_object(ports->cold, &name, error);
        return copy->cold != NULL && is_the_object(copy, cold_reader_provenance(copy->cold), error);
    }
    if (strcmp(location->replica, ports->replica) == 0) {
        copy->hot = hot_store_open_object(ports->hot, &copy->payload_id, error);
        return copy->hot != NULL && is_the_object(copy, hot_reader_provenance(copy->hot), error);
    }
    struct peer_object object = {
        .replica = location->replica,
        .payload_id = copy->payload_id,
        .size_bytes = (uint64_t)record->size,
        .crc32c = record->crc32c,
    };
    copy->peer = peer_reader_open(&ports->peers, &object, 0, (uint64_t)record->size, error);
    return copy->peer != NULL;
}

static int64_t read_copy(struct copy *copy, uint64_t offset, void *out, struct error *error) {
    return copy->hot != NULL    ? hot_reader_read(copy->hot, offset, out, STEP_BYTES, error)
           : copy->peer != NULL ? peer_reader_read(copy->peer, offset, out, STEP_BYTES, error)
                                : cold_reader_read(copy->cold, offset, out, STEP_BYTES, error);
}

static bool may_go_on(const struct copy *copy, struct error *error) {
    if (rpc_server_draining(copy->api->server)) {
        return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the service is shutting down") ||
               error_retry_after(error, ERROR_RETRY_DRAINING_MS);
    }
    return rpc_call_time_left_us(copy->call) > 0 ||
           error_set(error, ERROR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed while copies were read");
}

static bool read_all(struct copy *copy, struct error *error) {
    uint64_t size = (uint64_t)copy->record->size;
    uint8_t *step = malloc(STEP_BYTES);
    uint32_t crc = 0;
    bool good = true;
    if (step == NULL) {
        abort();
    }
    for (uint64_t offset = 0; good && offset < size;) {
        int64_t got = may_go_on(copy, error) ? read_copy(copy, offset, step, error) : -1;
        good = got > 0 || (got == 0 && error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early"));
        crc = good ? crc32c_extend(crc, bytes_of(step, (size_t)got)) : crc;
        offset += good ? (uint64_t)got : 0;
    }
    free(step);
    return good &&
           (crc == copy->record->crc32c || error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT",
                                                     "the copy's CRC32C is %08x, not %08x", crc, copy->record->crc32c));
}

static void close_copy(struct copy *copy) {
    if (copy->hot != NULL) {
        hot_reader_close(copy->hot);
    }
    if (copy->cold != NULL) {
        cold_reader_close(copy->cold);
    }
    peer_reader_close(copy->peer);
}

static void tell_damage(const struct copy *copy, const Waybill__V1__Location *location) {
    const struct object_reader_ports *ports = &copy->api->ports;
    bool here = strcmp(location->replica, ports->replica) == 0;
    enum read_source source = location->tier == WAYBILL__V1__TIER__TIER_COLD ? READ_FROM_COLD
                              : here                                         ? READ_FROM_HOT
                                                                             : READ_FROM_PEER;
    struct damaged_copy damaged = {copy->record, source};
    if (ports->on_corrupt != NULL) {
        ports->on_corrupt(ports->self, &damaged);
    }
}

/* What is found at one place; false where the whole call is to end. */
static bool verify_copy(struct verify_api *api, struct rpc_call *call, const Waybill__V1__Record *record,
                        Waybill__V1__Location *location, Waybill__V1__CopyVerification *found, struct error *error) {
    struct copy copy = {.api = api, .call = call, .record = record};
    struct error cause = {0};
    if (!uuid_parse_text(record->payload_id, &copy.payload_id)) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "NO_PAYLOAD", "the record has no payload");
    }
    bool good = open_copy(&copy, location, &cause) && read_all(&copy, &cause);
    close_copy(&copy);
    if (!good && (strcmp(cause.reason, "DRAINING") == 0 || cause.code == ERROR_DEADLINE_EXCEEDED)) {
        *error = cause;
        return false;
    }
    if (!good && cause.code == ERROR_DATA_LOSS) {
        tell_damage(&copy, location);
    }
    found->location = location;
    found->code = good ? 0 : (int32_t)cause.code;
    found->message = arena_strdup(rpc_call_arena(call), good ? "" : cause.message);
    return true;
}

static bool verify_all(struct verify_api *api, struct rpc_call *call, const Waybill__V1__VerifyObjectRequest *request,
                       Waybill__V1__VerifyObjectResponse *response, struct error *error) {
    struct arena *arena = rpc_call_arena(call);
    struct serving_query query = {.bucket = request->bucket, .key = request->key, .version = request->version};
    if (!serving_record_find(api->metadata, &query, arena, &response->record, error)) {
        return false;
    }
    Waybill__V1__Record *record = response->record;
    response->copies = arena_alloc(arena, (record->n_locations + 1) * sizeof *response->copies);
    for (size_t i = 0; i < record->n_locations; i++) {
        Waybill__V1__CopyVerification *found = arena_alloc(arena, sizeof *found);
        waybill__v1__copy_verification__init(found);
        if (!verify_copy(api, call, record, record->locations[i], found, error)) {
            return false;
        }
        response->copies[response->n_copies++] = found;
    }
    return true;
}

static bool take_turn(struct verify_api *api, struct error *error) {
    if (atomic_fetch_add(&api->running, 1) < RUNNING_MAX) {
        return true;
    }
    atomic_fetch_sub(&api->running, 1);
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "TOO_MANY_VERIFICATIONS", "%d objects are verified at once; try again",
              RUNNING_MAX);
    error->retry_after_ms = BUSY_RETRY_AFTER_MS;
    return false;
}

static void verify_object(void *service, struct rpc_call *call) {
    struct verify_api *api = service;
    Waybill__V1__VerifyObjectRequest *request =
        (Waybill__V1__VerifyObjectRequest *)rpc_call_decode(call, &waybill__v1__verify_object_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    Waybill__V1__VerifyObjectResponse response = WAYBILL__V1__VERIFY_OBJECT_RESPONSE__INIT;
    bool good = take_turn(api, &error);
    if (good) {
        good = verify_all(api, call, request, &response, &error);
        atomic_fetch_sub(&api->running, 1);
    }
    if (good) {
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_fail(call, &error);
    }
}

void verify_api_add_to(struct verify_api *api, struct rpc_server *server) {
    api->server = server;
    rpc_server_add_unary(server, "/waybill.v1.ObjectService/VerifyObject", RPC_BLOCKING, verify_object, api);
}
