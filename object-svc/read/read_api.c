/* ReadObject and StatObject.
 *
 * The record decides which version is served and what its bytes must be; it is read from
 * metadata-svc for every call, so that a writer reads its own write at once. */
#include "object-svc/read/read_api.h"

#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "common/rpc/bulk_field.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "object-svc/read/serving_record.h"
#include "waybill/v1/object_service.pb-c.h"

enum {
    READ_CHUNK_BYTES = 1024 * 1024,
    READ_RESPONSE_DATA_FIELD = 3,
    /* The record may change between reading it and opening what it describes. */
    READ_OPEN_ATTEMPTS = 5,
};

/* One version to read: by the caller's words, then as found. */
struct wanted {
    const char *bucket;
    const char *key;
    int64_t version; /* 0: the serving one */
    bool has_if_version;
    int64_t if_version;
    int64_t read_offset; /* as the caller says it */
    int64_t read_limit;
    struct read_span span; /* as it is */
    Waybill__V1__Record *record;
    struct object_reader *reader;
};

/* Finds the record of the version to serve. */
static bool find_record(struct read_api *api, struct wanted *wanted, struct arena *arena, struct error *error) {
    struct serving_query query = {wanted->bucket, wanted->key, wanted->version, wanted->has_if_version,
                                  wanted->if_version};
    return serving_record_find(api->metadata, &query, arena, &wanted->record, error);
}

static bool check_readable(const Waybill__V1__Record *record, struct error *error) {
    switch (record->state) {
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED:
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED:
        return true;
    case WAYBILL__V1__RECORD_STATE__RECORD_STATE_COMMITTED:
        return error_set(error, ERROR_FAILED_PRECONDITION, "NO_PAYLOAD", "version %lld has no payload",
                         (long long)record->version);
    default:
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_STORED",
                         "the payload of version %lld is neither spooled nor stored", (long long)record->version);
    }
}

static bool resolve_span(struct wanted *wanted, struct error *error) {
    uint64_t size = (uint64_t)wanted->record->size;
    struct read_span *span = &wanted->span;
    if (wanted->read_limit < 0) {
        return error_set_field(error, "read_limit", "BAD_RANGE", "a limit is 0 or more");
    }
    if (wanted->read_offset < 0) {
        uint64_t back = (uint64_t)0 - (uint64_t)wanted->read_offset;
        span->offset = back < size ? size - back : 0;
    } else {
        span->offset = (uint64_t)wanted->read_offset;
    }
    if (span->offset > size) {
        error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the object has %llu bytes", (unsigned long long)size);
        error_set_detail(error, "size", "%llu", (unsigned long long)size);
        return false;
    }
    uint64_t limit = (uint64_t)wanted->read_limit;
    span->end = limit == 0 || limit > size - span->offset ? size : span->offset + limit;
    return true;
}

/* Every copy that the record tells of was looked for where it should be, and since then the
 * record has not changed. */
static bool missing(const struct wanted *wanted, struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_MISSING",
                     "version %lld is in none of the places where it should be", (long long)wanted->record->version);
}

/* Finds the record and opens a copy; on failure the reader is NULL. */
static bool open_wanted(struct read_api *api, struct wanted *wanted, struct arena *arena, struct error *error) {
    int64_t revision = 0; /* of the record whose copies were not where it said */
    for (int attempt = 0; attempt < READ_OPEN_ATTEMPTS; attempt++) {
        *error = (struct error){0};
        if (!find_record(api, wanted, arena, error) || !check_readable(wanted->record, error) ||
            !resolve_span(wanted, error)) {
            return false;
        }
        if (wanted->record->revision == revision) {
            return missing(wanted, error);
        }
        wanted->reader = object_reader_open(&api->ports, wanted->record, &wanted->span, 0, error);
        if (wanted->reader != NULL) {
            return true;
        }
        if (error->code != ERROR_NOT_FOUND) {
            return false;
        }
        revision = wanted->record->revision;
    }
    return error_set(error, ERROR_UNAVAILABLE, "OBJECT_MOVING", "the object is being moved; try again");
}

/* ---- ReadObject ---- */

/* Sends one message: the response's other fields, then the bytes, which are not copied. */
static bool send_chunk(struct rpc_stream *stream, Waybill__V1__ReadObjectResponse *response, struct rpc_buffer *body,
                       size_t size, struct error *error) {
    struct buffer head = {0};
    response->has_crc32c_case = WAYBILL__V1__READ_OBJECT_RESPONSE__HAS_CRC32C_CRC32C;
    response->crc32c = crc32c(bytes_of(rpc_buffer_data(body), size));
    bulk_head_append(&head, &response->base);
    bulk_field_append(&head, READ_RESPONSE_DATA_FIELD, size);
    bool good = rpc_stream_write_bulk(stream, buffer_bytes(&head), body, size);
    buffer_free(&head);
    return good || error_set(error, ERROR_CANCELLED, "READ_CANCELLED", "the client went away");
}

/* Reads on, also when the copy that was open moved away in the middle: then the record tells
 * where to. */
static int64_t read_on(struct read_api *api, struct wanted *wanted, uint64_t offset, struct rpc_buffer *body,
                       size_t size, struct arena *arena, struct error *error) {
    int64_t got = object_reader_read(wanted->reader, offset, rpc_buffer_data(body), size, error);
    for (int attempt = 0; got < 0 && error->code == ERROR_NOT_FOUND && attempt < READ_OPEN_ATTEMPTS; attempt++) {
        object_reader_close(wanted->reader);
        wanted->reader = NULL;
        wanted->version = wanted->record->version;
        wanted->has_if_version = false;
        wanted->read_offset = (int64_t)offset;
        wanted->read_limit = (int64_t)(wanted->span.end - offset);
        if (!open_wanted(api, wanted, arena, error)) {
            return -1;
        }
        got = object_reader_read(wanted->reader, offset, rpc_buffer_data(body), size, error);
    }
    return got;
}

static bool send_object(struct read_api *api, struct rpc_stream *stream, struct wanted *wanted, struct arena *arena,
                        struct error *error) {
    const struct read_span span = wanted->span;
    bool first = true;
    uint32_t crc = 0;
    uint64_t offset = span.offset;
    do {
        uint64_t left = span.end - offset;
        size_t size = left < READ_CHUNK_BYTES ? (size_t)left : READ_CHUNK_BYTES;
        struct rpc_buffer *body = rpc_buffer_new(size);
        int64_t got = read_on(api, wanted, offset, body, size, arena, error);
        if (got < 0) {
            rpc_buffer_free(body);
            return false;
        }
        enum read_source source = object_reader_source(wanted->reader);
        crc = crc32c_extend(crc, bytes_of(rpc_buffer_data(body), (size_t)got));
        offset += (uint64_t)got;
        if (span.offset == 0 && offset == (uint64_t)wanted->record->size && crc != wanted->record->crc32c) {
            rpc_buffer_free(body);
            return error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the object's CRC32C is %08x, not %08x", crc,
                             wanted->record->crc32c);
        }
        Waybill__V1__ReadObjectResponse response = WAYBILL__V1__READ_OBJECT_RESPONSE__INIT;
        if (first) {
            response.record = wanted->record;
            response.source = (Waybill__V1__ReadSource)source;
        }
        if (offset == span.end) {
            rpc_stream_more_follows(stream);
        }
        if (!send_chunk(stream, &response, body, (size_t)got, error)) {
            return false;
        }
        counter_add(api->read_bytes[source], (uint64_t)got);
        if (first && api->on_read != NULL) {
            api->on_read(api->self, source, wanted->record);
        }
        first = false;
    } while (offset < span.end);
    return true;
}

static bool serve_read(struct read_api *api, struct rpc_stream *stream, const Waybill__V1__ReadObjectRequest *request,
                       struct arena *arena, struct error *error) {
    struct wanted wanted = {
        .bucket = request->bucket,
        .key = request->key,
        .version = request->version,
        .has_if_version = request->has_if_version_match_case != 0,
        .if_version = request->has_if_version_match_case != 0 ? request->if_version_match : 0,
        .read_offset = request->read_offset,
        .read_limit = request->read_limit,
    };
    struct fair_holder *holder = bucket_share_take(api->streams, wanted.bucket, error);
    if (holder == NULL) {
        return false;
    }
    bool good = open_wanted(api, &wanted, arena, error);
    if (good) {
        good = send_object(api, stream, &wanted, arena, error);
        object_reader_close(wanted.reader);
    }
    bucket_share_give(api->streams, holder);
    return good;
}

static bool take_read(struct read_api *api, struct rpc_stream *stream, struct error *error) {
    struct arena arena;
    struct bytes wire;
    if (rpc_stream_read(stream, &wire, error) != RPC_READ_MESSAGE) {
        return error->code == ERROR_OK
                   ? error_set(error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request")
                   : false;
    }
    arena_init(&arena);
    Waybill__V1__ReadObjectRequest *request = (Waybill__V1__ReadObjectRequest *)proto_decode(
        &waybill__v1__read_object_request__descriptor, wire, &arena, error);
    bool good = request != NULL && serve_read(api, stream, request, &arena, error);
    arena_free(&arena);
    return good;
}

static void read_object(void *service, struct rpc_stream *stream) {
    struct read_api *api = service;
    struct error error = {0};
    bool good = take_read(api, stream, &error);
    rpc_stream_finish(stream, good ? NULL : &error);
}

/* ---- StatObject ---- */

static void stat_object(void *service, struct rpc_call *call) {
    struct read_api *api = service;
    Waybill__V1__StatObjectRequest *request =
        (Waybill__V1__StatObjectRequest *)rpc_call_decode(call, &waybill__v1__stat_object_request__descriptor);
    if (request == NULL) {
        return;
    }
    struct error error = {0};
    struct wanted wanted = {
        .bucket = request->bucket, .key = request->key, .version = request->version, .read_limit = 1};
    if (!open_wanted(api, &wanted, rpc_call_arena(call), &error)) {
        rpc_call_fail(call, &error);
        return;
    }
    Waybill__V1__StatObjectResponse response = WAYBILL__V1__STAT_OBJECT_RESPONSE__INIT;
    response.record = wanted.record;
    response.source = (Waybill__V1__ReadSource)object_reader_source(wanted.reader);
    object_reader_close(wanted.reader);
    rpc_call_reply(call, &response.base);
}

void read_api_add_to(struct read_api *api, struct metrics *metrics, struct rpc_server *server) {
    static const char *const tiers[] = {NULL, "hot", "peer", "cold", "spool"};
    for (int source = READ_FROM_HOT; source <= READ_FROM_SPOOL; source++) {
        api->read_bytes[source] =
            metrics_counter(metrics, "waybill_object_bytes_total", "Object bytes by tier and direction.",
                            METRIC_LABELS({"tier", tiers[source]}, {"direction", "read"}));
    }
    /* Clients' reads must not take the streams that other replicas' are served with: two replicas
     * full of reads from each other would fail each other's. */
    rpc_server_add_stream_apart(server, "/waybill.v1.ObjectService/ReadObject", read_object, api, api->max_streams);
    rpc_server_add_unary(server, "/waybill.v1.ObjectService/StatObject", RPC_BLOCKING, stat_object, api);
    rpc_server_add_service(server, &waybill__v1__object_service__descriptor);
}
