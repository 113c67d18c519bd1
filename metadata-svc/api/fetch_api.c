/* FetchPayloads: object-svc pulls what waits. Requests are answered one after the other; the
 * bytes go from the spool into the message that is sent, without a copy between. */
#include <string.h>

#include "common/checksum/crc32c.h"
#include "common/rpc/bulk_field.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/store/record_store.h"
#include "waybill/v1/payload_service.pb-c.h"

enum {
    FETCH_CHUNK_BYTES = 1024 * 1024,
    FETCH_RESPONSE_CHUNK_FIELD = 3,
    FETCH_RESPONSE_WHOLE_FIELD = 6,
    CHUNK_DATA_FIELD = 1,
    WHOLE_DATA_FIELD = 2,
};

/* One request being answered. */
struct fetch {
    struct metadata_api *api;
    struct rpc_stream *stream;
    char payload_id[UUID_TEXT_BYTES];
    struct uuid id;
    struct payload_entry entry;
    uint64_t offset;
    uint64_t end;
    bool at_once; /* in one message */
};

static bool send(struct fetch *fetch, Waybill__V1__FetchPayloadsResponse *response) {
    response->payload_id = fetch->payload_id;
    return rpc_stream_write(fetch->stream, &response->base);
}

static bool send_refusal(struct fetch *fetch, const struct error *error) {
    Waybill__V1__PayloadFetchError refusal = WAYBILL__V1__PAYLOAD_FETCH_ERROR__INIT;
    refusal.code = (int32_t)error->code;
    refusal.message = (char *)(uintptr_t)error->message;
    refusal.reason = (char *)(uintptr_t)error->reason;
    Waybill__V1__FetchPayloadsResponse response = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__INIT;
    response.message_case = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_ERROR;
    response.error = &refusal;
    return send(fetch, &response);
}

static Waybill__V1__PayloadHeader header_of(const struct fetch *fetch) {
    Waybill__V1__PayloadHeader header = WAYBILL__V1__PAYLOAD_HEADER__INIT;
    header.bucket = (char *)(uintptr_t)fetch->entry.bucket;
    header.key = (char *)(uintptr_t)fetch->entry.key;
    header.size = fetch->entry.size;
    header.crc32c = fetch->entry.crc32c;
    return header;
}

static bool send_header(struct fetch *fetch) {
    Waybill__V1__PayloadHeader header = header_of(fetch);
    Waybill__V1__FetchPayloadsResponse response = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__INIT;
    response.message_case = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_HEADER;
    response.header = &header;
    rpc_stream_more_follows(fetch->stream);
    return send(fetch, &response);
}

/* The next message is the last answer to this request. Where the next request is here already, more follows. */
static void end_follows(struct fetch *fetch) {
    if (rpc_stream_has_message(fetch->stream)) {
        rpc_stream_more_follows(fetch->stream);
    }
}

static bool send_end(struct fetch *fetch) {
    end_follows(fetch);
    Waybill__V1__PayloadEnd end = WAYBILL__V1__PAYLOAD_END__INIT;
    Waybill__V1__FetchPayloadsResponse response = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__INIT;
    response.message_case = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_END;
    response.end = &end;
    return send(fetch, &response);
}

/* The response around the bytes: payload id, then in `field` the message, whose data comes last. */
static bool send_around(struct fetch *fetch, unsigned field, const ProtobufCMessage *message, unsigned data_field,
                        struct rpc_buffer *body, size_t size) {
    struct buffer head = {0};
    Waybill__V1__FetchPayloadsResponse response = WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__INIT;
    response.payload_id = fetch->payload_id;
    bulk_head_append(&head, &response.base);
    bulk_member_append(&head, field, message, data_field, size);
    bool good = rpc_stream_write_bulk(fetch->stream, buffer_bytes(&head), body, size);
    buffer_free(&head);
    return good;
}

static bool send_chunk(struct fetch *fetch, struct rpc_buffer *body, size_t size) {
    Waybill__V1__PayloadChunk chunk = WAYBILL__V1__PAYLOAD_CHUNK__INIT;
    chunk.has_crc32c_case = WAYBILL__V1__PAYLOAD_CHUNK__HAS_CRC32C_CRC32C;
    chunk.crc32c = crc32c(bytes_of(rpc_buffer_data(body), size));
    return send_around(fetch, FETCH_RESPONSE_CHUNK_FIELD, &chunk.base, CHUNK_DATA_FIELD, body, size);
}

static bool send_whole(struct fetch *fetch, struct rpc_buffer *body, size_t size) {
    Waybill__V1__PayloadHeader header = header_of(fetch);
    Waybill__V1__PayloadWhole whole = WAYBILL__V1__PAYLOAD_WHOLE__INIT;
    whole.header = &header;
    end_follows(fetch);
    return send_around(fetch, FETCH_RESPONSE_WHOLE_FIELD, &whole.base, WHOLE_DATA_FIELD, body, size);
}

/* The spool does not have what the entry says. Either it was released since the entry was
 * read, or it is lost; only the first may be answered with NOT_FOUND. */
static bool explain_missing(struct fetch *fetch, struct error *error) {
    struct arena arena;
    struct payload_entry entry;
    bool found;
    arena_init(&arena);
    if (record_store_get_payload(kv_lookup_of(fetch->api->kv), &fetch->id, &arena, &entry, &found, error) && found) {
        error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "the spool has lost the payload");
    }
    arena_free(&arena);
    return false;
}

static bool read_payload(struct fetch *fetch, uint8_t *out, size_t size, struct error *error) {
    if (fetch->entry.place == PAYLOAD_INLINE) {
        memcpy(out, fetch->entry.data.data + fetch->offset, size);
        return true;
    }
    if (payload_spool_read(fetch->api->spool, &fetch->id, fetch->offset, out, size, error)) {
        return true;
    }
    return error->code == ERROR_NOT_FOUND ? explain_missing(fetch, error) : false;
}

/* False when the stream is broken. */
static bool send_bytes(struct fetch *fetch) {
    while (fetch->offset < fetch->end) {
        uint64_t left = fetch->end - fetch->offset;
        size_t size = left < FETCH_CHUNK_BYTES ? (size_t)left : FETCH_CHUNK_BYTES;
        struct rpc_buffer *body = rpc_buffer_new(size);
        struct error error = {0};
        if (!read_payload(fetch, rpc_buffer_data(body), size, &error)) {
            rpc_buffer_free(body);
            return send_refusal(fetch, &error);
        }
        fetch->offset += size;
        if (fetch->offset == fetch->end) {
            rpc_stream_more_follows(fetch->stream);
        }
        if (!send_chunk(fetch, body, size)) {
            return false;
        }
    }
    return send_end(fetch);
}

/* False when the stream is broken. */
static bool send_at_once(struct fetch *fetch) {
    size_t size = (size_t)fetch->entry.size;
    struct rpc_buffer *body = rpc_buffer_new(size);
    struct error error = {0};
    if (!read_payload(fetch, rpc_buffer_data(body), size, &error)) {
        rpc_buffer_free(body);
        return send_refusal(fetch, &error);
    }
    return send_whole(fetch, body, size);
}

static bool find_payload(struct fetch *fetch, const Waybill__V1__FetchPayloadsRequest *request, struct arena *arena,
                         struct error *error) {
    bool found;
    if (!record_store_get_payload(kv_lookup_of(fetch->api->kv), &fetch->id, arena, &fetch->entry, &found, error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_SPOOLED", "the payload was released or never announced");
    }
    if (fetch->entry.place == PAYLOAD_AWAITED) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_AWAITED", "the payload is not uploaded yet");
    }
    uint64_t size = (uint64_t)fetch->entry.size;
    if (request->read_offset < 0 || (uint64_t)request->read_offset > size || request->read_limit < 0) {
        return error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the payload has %llu bytes",
                         (unsigned long long)size);
    }
    fetch->offset = (uint64_t)request->read_offset;
    uint64_t limit = (uint64_t)request->read_limit;
    fetch->end = limit == 0 || limit > size - fetch->offset ? size : fetch->offset + limit;
    fetch->at_once = fetch->offset == 0 && fetch->end == size && fetch->entry.size <= request->whole_limit &&
                     size <= FETCH_CHUNK_BYTES;
    return true;
}

/* False when the stream is broken. */
static bool answer_request(struct fetch *fetch, const Waybill__V1__FetchPayloadsRequest *request, struct arena *arena) {
    struct error error = {0};
    if (!find_payload(fetch, request, arena, &error)) {
        return send_refusal(fetch, &error);
    }
    return fetch->at_once ? send_at_once(fetch) : send_header(fetch) && send_bytes(fetch);
}

static bool serve_request(struct metadata_api *api, struct rpc_stream *stream, struct bytes wire, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    struct fetch fetch = {.api = api, .stream = stream};
    bool good = false;
    Waybill__V1__FetchPayloadsRequest *request = (Waybill__V1__FetchPayloadsRequest *)proto_decode(
        &waybill__v1__fetch_payloads_request__descriptor, wire, &arena, error);
    if (request != NULL && !uuid_parse_text(request->payload_id, &fetch.id)) {
        error_set_field(error, "payload_id", "BAD_PAYLOAD_ID", "a payload id is a UUID");
    } else if (request != NULL) {
        uuid_print(&fetch.id, fetch.payload_id);
        good = answer_request(&fetch, request, &arena) ||
               error_set(error, ERROR_CANCELLED, "PULL_CANCELLED", "the client went away");
    }
    arena_free(&arena);
    return good;
}

static void fetch_payloads(void *service, struct rpc_stream *stream) {
    struct error error = {0};
    struct bytes wire;
    enum rpc_read read;
    rpc_stream_end_reads_on_drain(stream);
    while ((read = rpc_stream_read(stream, &wire, &error)) == RPC_READ_MESSAGE) {
        if (!serve_request(service, stream, wire, &error)) {
            break;
        }
    }
    rpc_stream_finish(stream, read == RPC_READ_END ? NULL : &error);
}

void fetch_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    /* However many uploads there are, pulls go on: they make room for more. */
    rpc_server_add_stream_apart(server, "/waybill.v1.PayloadService/FetchPayloads", fetch_payloads, api,
                                api->max_pulls);
}
