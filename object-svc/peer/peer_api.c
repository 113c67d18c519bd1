#include "object-svc/peer/peer_api.h"

#include "common/rpc/bulk_field.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "object-svc/hot/block_sums.h"
#include "waybill/v1/peer_service.pb-c.h"

enum {
    CHUNK_BYTES = 1024 * 1024,
    SUMS_AT_ONCE = 64 * 1024,
    SUM_BYTES = 4,
    DATA_FIELD = 3,
    SUMS_FIELD = 2,
};

struct range {
    uint64_t offset;
    uint64_t end;
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static bool gone(struct error *error) {
    return error_set(error, ERROR_CANCELLED, "READ_CANCELLED", "the other replica went away");
}

/* The whole blocks that hold what is asked for. */
static bool resolve_range(const Waybill__V1__ReadHotObjectRequest *request, uint64_t size, uint32_t block_bytes,
                          struct range *range, struct error *error) {
    if (request->read_offset < 0 || request->read_limit < 0) {
        return error_set_field(error, request->read_offset < 0 ? "read_offset" : "read_limit", "BAD_RANGE",
                               "offset and limit are 0 or more");
    }
    uint64_t offset = (uint64_t)request->read_offset;
    uint64_t limit = (uint64_t)request->read_limit;
    if (offset > size) {
        return error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the object has %llu bytes",
                         (unsigned long long)size);
    }
    uint64_t end = limit == 0 || limit > size - offset ? size : offset + limit;
    uint64_t beyond = end % block_bytes;
    range->offset = offset - offset % block_bytes;
    range->end = beyond == 0 ? end : smaller(size, end + block_bytes - beyond);
    return true;
}

static bool send_header(struct rpc_stream *stream, const struct provenance *provenance, uint32_t block_bytes,
                        uint64_t offset, struct error *error) {
    Waybill__V1__HotObjectHeader header = WAYBILL__V1__HOT_OBJECT_HEADER__INIT;
    header.size = (int64_t)provenance->size_bytes;
    header.crc32c = provenance->crc32c;
    header.block_bytes = (int32_t)block_bytes;
    header.data_offset = (int64_t)offset;
    Waybill__V1__ReadHotObjectResponse response = WAYBILL__V1__READ_HOT_OBJECT_RESPONSE__INIT;
    response.message_case = WAYBILL__V1__READ_HOT_OBJECT_RESPONSE__MESSAGE_HEADER;
    response.header = &header;
    rpc_stream_more_follows(stream);
    return rpc_stream_write(stream, &response.base) || gone(error);
}

static bool send_bulk(struct rpc_stream *stream, unsigned field, struct rpc_buffer *body, size_t size,
                      struct error *error) {
    struct buffer head = {0};
    bulk_field_append(&head, field, size);
    bool good = rpc_stream_write_bulk(stream, buffer_bytes(&head), body, size);
    buffer_free(&head);
    return good || gone(error);
}

static bool send_sums(struct rpc_stream *stream, struct hot_reader *reader, uint64_t count, struct error *error) {
    for (uint64_t first = 0; first < count; first += SUMS_AT_ONCE) {
        size_t part = (size_t)smaller(count - first, SUMS_AT_ONCE);
        struct rpc_buffer *body = rpc_buffer_new(part * SUM_BYTES);
        if (!hot_reader_block_sums(reader, first, rpc_buffer_data(body), part, error)) {
            rpc_buffer_free(body);
            return false;
        }
        if (!send_bulk(stream, SUMS_FIELD, body, part * SUM_BYTES, error)) {
            return false;
        }
    }
    return true;
}

static bool send_blocks(struct peer_api *api, struct rpc_stream *stream, struct hot_reader *reader,
                        uint32_t block_bytes, struct range range, struct error *error) {
    uint64_t step = block_bytes < CHUNK_BYTES ? CHUNK_BYTES - CHUNK_BYTES % block_bytes : block_bytes;
    while (range.offset < range.end) {
        size_t size = (size_t)smaller(range.end - range.offset, step);
        struct rpc_buffer *body = rpc_buffer_new(size);
        int64_t got = hot_reader_read(reader, range.offset, rpc_buffer_data(body), size, error);
        if (got != (int64_t)size) {
            rpc_buffer_free(body);
            return got < 0 ? false : error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        }
        if (!send_bulk(stream, DATA_FIELD, body, size, error)) {
            return false;
        }
        counter_add(api->sent_bytes, size);
        range.offset += size;
    }
    return true;
}

static bool send_object(struct peer_api *api, struct rpc_stream *stream, struct hot_reader *reader,
                        const Waybill__V1__ReadHotObjectRequest *request, struct error *error) {
    const struct provenance *provenance = hot_reader_provenance(reader);
    uint32_t block_bytes = hot_reader_block_bytes(reader);
    struct range range = {0};
    return resolve_range(request, provenance->size_bytes, block_bytes, &range, error) &&
           send_header(stream, provenance, block_bytes, range.offset, error) &&
           send_sums(stream, reader, block_sums_count(provenance->size_bytes, block_bytes), error) &&
           send_blocks(api, stream, reader, block_bytes, range, error);
}

static void tell_corrupt(struct peer_api *api, const struct uuid *payload_id) {
    struct error ignored = {0};
    struct hot_object object;
    if (api->on_corrupt != NULL && hot_store_find(api->hot, payload_id, &object, &ignored)) {
        api->on_corrupt(api->self, &object);
    }
}

static bool serve(struct peer_api *api, struct rpc_stream *stream, const Waybill__V1__ReadHotObjectRequest *request,
                  struct error *error) {
    struct uuid payload_id;
    if (!uuid_parse_text(request->payload_id, &payload_id)) {
        return error_set_field(error, "payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    }
    struct hot_reader *reader = hot_store_open_object(api->hot, &payload_id, error);
    if (reader != NULL && api->on_read != NULL) {
        api->on_read(api->self, &payload_id);
    }
    bool good = reader != NULL && send_object(api, stream, reader, request, error);
    if (reader != NULL) {
        hot_reader_close(reader);
    }
    if (error->code == ERROR_DATA_LOSS) {
        tell_corrupt(api, &payload_id);
    }
    return good;
}

static bool take_request(struct peer_api *api, struct rpc_stream *stream, struct error *error) {
    struct bytes wire;
    struct arena arena;
    if (rpc_stream_read(stream, &wire, error) != RPC_READ_MESSAGE) {
        return error->code == ERROR_OK
                   ? error_set(error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request")
                   : false;
    }
    arena_init(&arena);
    Waybill__V1__ReadHotObjectRequest *request = (Waybill__V1__ReadHotObjectRequest *)proto_decode(
        &waybill__v1__read_hot_object_request__descriptor, wire, &arena, error);
    bool good = request != NULL && serve(api, stream, request, error);
    arena_free(&arena);
    return good;
}

static void read_hot_object(void *service, struct rpc_stream *stream) {
    struct peer_api *api = service;
    struct error error = {0};
    rpc_stream_limit_stall(stream, api->stall_ms);
    bool good = take_request(api, stream, &error);
    rpc_stream_finish(stream, good ? NULL : &error);
}

void peer_api_add_to(struct peer_api *api, struct metrics *metrics, struct rpc_server *server) {
    api->sent_bytes = metrics_counter(metrics, "waybill_object_bytes_total", "Object bytes by tier and direction.",
                                      METRIC_LABELS({"tier", "hot"}, {"direction", "peer_read"}));
    rpc_server_add_stream_apart(server, "/waybill.v1.PeerService/ReadHotObject", read_hot_object, api,
                                api->max_streams);
    rpc_server_add_service(server, &waybill__v1__peer_service__descriptor);
}
