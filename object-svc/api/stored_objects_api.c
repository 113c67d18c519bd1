#include "object-svc/api/stored_objects_api.h"

#include "common/base/log.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "object-svc/api/api_values.h"
#include "object-svc/upstream/record_provenance.h"
#include "waybill/v1/admin_service.pb-c.h"

enum {
    MESSAGE_OBJECTS = 100,
    MESSAGE_BYTES = 1024 * 1024,
    STALL_MS = 60000,
    BUSY_RETRY_MS = 1000,
};

struct sending {
    struct stored_objects_api *api;
    struct rpc_stream *stream;
    Waybill__V1__Tier tier;
    struct arena arena; /* of the message in the making */
    Waybill__V1__StoredObject *objects[MESSAGE_OBJECTS];
    size_t count;
    size_t bytes;
    int64_t total;
    int64_t damaged;
    struct error *error;
    bool good;
};

/* ---- messages ---- */

static bool send(struct sending *sending) {
    Waybill__V1__ListStoredObjectsResponse response = WAYBILL__V1__LIST_STORED_OBJECTS_RESPONSE__INIT;
    response.replica = (char *)(uintptr_t)sending->api->replica;
    response.n_objects = sending->count;
    response.objects = sending->objects;
    bool good = rpc_stream_write(sending->stream, &response.base) && !rpc_stream_cancelled(sending->stream);
    sending->count = 0;
    sending->bytes = 0;
    arena_free(&sending->arena);
    return good || error_set(sending->error, ERROR_CANCELLED, "LISTING_CANCELLED", "the client went away");
}

static void add_location(struct sending *sending, Waybill__V1__Record *record) {
    Waybill__V1__Location *location = arena_alloc(&sending->arena, sizeof *location);
    waybill__v1__location__init(location);
    location->tier = sending->tier;
    if (sending->tier == WAYBILL__V1__TIER__TIER_HOT) {
        location->replica = (char *)(uintptr_t)sending->api->replica;
    }
    location->store_time = record->store_time;
    record->locations = arena_alloc(&sending->arena, sizeof *record->locations);
    record->locations[0] = location;
    record->n_locations = 1;
}

/* The record is the arena's; `damage` NULL for none. */
static bool add(struct sending *sending, Waybill__V1__Record *record, const struct error *damage) {
    Waybill__V1__StoredObject *object = arena_alloc(&sending->arena, sizeof *object);
    waybill__v1__stored_object__init(object);
    add_location(sending, record);
    object->record = record;
    if (damage != NULL) {
        object->damage = arena_strdup(&sending->arena, damage->message);
        sending->damaged++;
    }
    sending->objects[sending->count++] = object;
    sending->bytes += waybill__v1__stored_object__get_packed_size(object);
    sending->total++;
    return (sending->count < MESSAGE_OBJECTS && sending->bytes < MESSAGE_BYTES) || send(sending);
}

/* What the reader has is gone once it is closed. */
static Waybill__V1__Record *keep(struct sending *sending, const struct provenance *provenance, struct error *damage) {
    struct error ignored;
    struct arena arena;
    arena_init(&arena);
    const Waybill__V1__Record *record = provenance_record(provenance, &arena, damage);
    Waybill__V1__Record *kept =
        record == NULL
            ? NULL
            : (Waybill__V1__Record *)proto_decode(&waybill__v1__record__descriptor, proto_encode(&record->base, &arena),
                                                  &sending->arena, &ignored);
    arena_free(&arena);
    return kept;
}

/* ---- hot ---- */

/* What the index knows of an object that cannot be read. */
static Waybill__V1__Record *describe(struct sending *sending, const struct hot_object *object) {
    struct error ignored;
    struct provenance provenance = {
        .bucket = arena_strdup(&sending->arena, object->bucket),
        .key = arena_strdup(&sending->arena, object->key),
        .version = object->version,
        .payload_id = object->payload_id,
        .size_bytes = object->size_bytes,
        .crc32c = object->crc32c,
        .store_unix_us = object->store_unix_us,
    };
    return provenance_record(&provenance, &sending->arena, &ignored);
}

static bool visit_hot(void *context, const struct hot_object *object) {
    struct sending *sending = context;
    struct error damage = {0};
    Waybill__V1__Record *record = NULL;
    struct hot_reader *reader = hot_store_open_object(sending->api->hot, &object->payload_id, &damage);
    if (reader != NULL) {
        record = keep(sending, hot_reader_provenance(reader), &damage);
        hot_reader_close(reader);
    }
    if (record == NULL && damage.code == ERROR_NOT_FOUND) {
        return true; /* removed since */
    }
    if (record == NULL && damage.code != ERROR_DATA_LOSS) {
        *sending->error = damage;
        sending->good = false;
        return false;
    }
    sending->good = record != NULL ? add(sending, record, NULL) : add(sending, describe(sending, object), &damage);
    return sending->good;
}

/* ---- cold ---- */

static Waybill__V1__Record *name(struct sending *sending, const struct cold_entry *entry) {
    Waybill__V1__Record *record = arena_alloc(&sending->arena, sizeof *record);
    waybill__v1__record__init(record);
    record->bucket = arena_strdup(&sending->arena, entry->name.bucket);
    record->key = arena_strdup(&sending->arena, entry->name.key);
    record->version = entry->name.version;
    return record;
}

static bool visit_cold(void *context, const struct cold_entry *entry) {
    struct sending *sending = context;
    struct error damage = {0};
    Waybill__V1__Record *record = NULL;
    struct cold_reader *reader = cold_store_open_object(sending->api->cold, &entry->name, &damage);
    if (reader != NULL) {
        record = keep(sending, cold_reader_provenance(reader), &damage);
        cold_reader_close(reader);
    }
    if (record == NULL && damage.code == ERROR_NOT_FOUND) {
        return true;
    }
    if (record == NULL && damage.code != ERROR_DATA_LOSS) {
        *sending->error = damage;
        sending->good = false;
        return false;
    }
    sending->good = record != NULL ? add(sending, record, NULL) : add(sending, name(sending, entry), &damage);
    return sending->good;
}

/* ---- the call ---- */

static bool send_all(struct sending *sending) {
    /* The first message tells who answers before anything has been found. */
    bool walked =
        send(sending) && (sending->tier == WAYBILL__V1__TIER__TIER_HOT
                              ? hot_store_visit_all(sending->api->hot, visit_hot, sending, sending->error)
                              : cold_store_list(sending->api->cold, "", "", visit_cold, sending, sending->error));
    return walked && sending->good && (sending->count == 0 || send(sending));
}

static bool serve(struct stored_objects_api *api, struct rpc_stream *stream, Waybill__V1__Tier tier,
                  struct error *error) {
    if (tier != WAYBILL__V1__TIER__TIER_HOT && tier != WAYBILL__V1__TIER__TIER_COLD) {
        return error_set_field(error, "tier", "BAD_TIER", "there is no tier %d", (int)tier);
    }
    if (atomic_exchange(&api->running, true)) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "LISTING_RUNNING", "the objects are being listed already");
        error->retry_after_ms = BUSY_RETRY_MS;
        return false;
    }
    struct sending sending = {.api = api, .stream = stream, .tier = tier, .error = error, .good = true};
    arena_init(&sending.arena);
    rpc_stream_limit_stall(stream, STALL_MS);
    bool good = send_all(&sending);
    arena_free(&sending.arena);
    atomic_store(&api->running, false);
    log_info("stored_objects_listed", LOG_STR("tier", tier == WAYBILL__V1__TIER__TIER_HOT ? "hot" : "cold"),
             LOG_INT("objects", sending.total), LOG_INT("damaged", sending.damaged), LOG_INT("whole", good));
    return good;
}

static void list_stored_objects(void *service, struct rpc_stream *stream) {
    struct bytes wire;
    struct arena arena;
    struct error error = {0};
    bool good = false;
    arena_init(&arena);
    if (rpc_stream_read(stream, &wire, &error) == RPC_READ_MESSAGE) {
        const Waybill__V1__ListStoredObjectsRequest *request =
            (const Waybill__V1__ListStoredObjectsRequest *)proto_decode(
                &waybill__v1__list_stored_objects_request__descriptor, wire, &arena, &error);
        good = request != NULL && serve(service, stream, request->tier, &error);
    } else if (error.code == ERROR_OK) {
        error_set(&error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request");
    }
    rpc_stream_finish(stream, good ? NULL : &error);
    arena_free(&arena);
}

void stored_objects_api_add_to(struct stored_objects_api *api, struct rpc_server *server) {
    rpc_server_add_stream(server, "/waybill.v1.AdminService/ListStoredObjects", list_stored_objects, api);
}
