/* ReadObject: bytes in order, checked piece by piece, resumed where a stream broke. */
#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "common/client/client_parts.h"
#include "common/rpc/proto_message.h"

struct reading {
    struct waybill_client *client;
    const struct waybill_read *read;
    const struct waybill_sink *sink;
    struct arena *arena;
    struct waybill_read_result *result;
    bool begun;     /* the record is known and the sink was told */
    int64_t first;  /* offset of the first byte wanted */
    int64_t length; /* bytes wanted */
    uint32_t crc;   /* of the bytes so far */
    bool sink_failed;
};

/* ---- messages ---- */

/* What the caller's range means for an object of this size. */
static void resolve_range(struct reading *reading, int64_t size) {
    const struct waybill_read *read = reading->read;
    int64_t first = read->offset;
    if (first < 0) {
        first = first < -size ? 0 : size + first;
    }
    reading->first = first < size ? first : size;
    reading->length = size - reading->first;
    if (read->limit > 0 && read->limit < reading->length) {
        reading->length = read->limit;
    }
}

static bool begin(struct reading *reading, const Waybill__V1__ReadObjectResponse *message, struct error *error) {
    const Waybill__V1__Record *record = message->record;
    if (record == NULL || record->has_size_case == 0 || record->size < 0) {
        return client_bad_answer(error, "does not begin with a record that has a size");
    }
    if (reading->begun) {
        bool same = record->version == reading->result->record->version;
        return same || client_bad_answer(error, "goes on with another version");
    }
    reading->result->record = (Waybill__V1__Record *)client_copy(&record->base, reading->arena);
    reading->result->source = message->source;
    resolve_range(reading, record->size);
    reading->begun = true;
    if (reading->sink->begin != NULL &&
        !reading->sink->begin(reading->sink->self, reading->result->record, reading->first, reading->length, error)) {
        reading->sink_failed = true;
        return false;
    }
    return true;
}

static bool take_data(struct reading *reading, const Waybill__V1__ReadObjectResponse *message, struct error *error) {
    struct bytes data = bytes_of(message->data.data, message->data.len);
    int64_t at = reading->first + reading->result->bytes;
    if (message->has_crc32c_case != 0 && crc32c(data) != message->crc32c) {
        return error_set(error, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH", "the bytes at %lld do not match their CRC32C",
                         (long long)at);
    }
    if ((int64_t)data.size > reading->length - reading->result->bytes) {
        return error_set(error, ERROR_DATA_LOSS, "SIZE_MISMATCH", "more bytes came than the %lld that belong there",
                         (long long)reading->length);
    }
    if (data.size == 0) {
        return true;
    }
    reading->crc = crc32c_extend(reading->crc, data);
    reading->result->bytes += (int64_t)data.size;
    reading->sink_failed = !reading->sink->write(reading->sink->self, data, error);
    return !reading->sink_failed;
}

static bool take_message(struct reading *reading, struct bytes wire, bool first, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    const Waybill__V1__ReadObjectResponse *message = (const Waybill__V1__ReadObjectResponse *)proto_decode(
        &waybill__v1__read_object_response__descriptor, wire, &arena, error);
    bool ok = message != NULL ? (!first || begin(reading, message, error)) && take_data(reading, message, error)
                              : client_bad_answer(error, "is malformed");
    arena_free(&arena);
    return ok;
}

/* ---- one attempt ---- */

/* The first attempt asks in the caller's words, a later one for the rest of what was found. */
static void fill_request(const struct reading *reading, Waybill__V1__ReadObjectRequest *request) {
    const struct waybill_read *read = reading->read;
    request->bucket = client_text(read->bucket);
    request->key = client_text(read->key);
    if (reading->begun) {
        request->version = reading->result->record->version;
        request->read_offset = reading->first + reading->result->bytes;
        request->read_limit = reading->length - reading->result->bytes;
        return;
    }
    request->version = read->version;
    request->read_offset = read->offset;
    request->read_limit = read->limit;
    if (read->has_if_version_match) {
        request->has_if_version_match_case = WAYBILL__V1__READ_OBJECT_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request->if_version_match = read->if_version_match;
    }
}

/* False with what went wrong; `broken` tells that it was the stream. */
static bool read_once(struct reading *reading, bool *broken, struct error *error) {
    struct client_stream stream;
    Waybill__V1__ReadObjectRequest request = WAYBILL__V1__READ_OBJECT_REQUEST__INIT;
    fill_request(reading, &request);
    *broken = false;
    if (!client_stream_open(reading->client, reading->client->object, "/waybill.v1.ObjectService/ReadObject", &stream,
                            error)) {
        return false;
    }
    rpc_stream_write_last(stream.stream, &request.base);
    bool first = true;
    struct bytes wire;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream.stream, &wire, error)) == RPC_READ_MESSAGE) {
        if (!take_message(reading, wire, first, error)) {
            client_stream_abandon(reading->client, &stream);
            return false;
        }
        first = false;
    }
    *broken = true;
    return client_stream_close(reading->client, &stream, error);
}

static bool check_whole(struct reading *reading, struct error *error) {
    struct waybill_read_result *result = reading->result;
    if (!reading->begun) {
        return client_bad_answer(error, "holds no record");
    }
    if (result->bytes != reading->length) {
        return error_set(error, ERROR_DATA_LOSS, "SIZE_MISMATCH", "%lld bytes came instead of %lld",
                         (long long)result->bytes, (long long)reading->length);
    }
    bool whole = reading->first == 0 && reading->length == result->record->size;
    if (!whole || result->record->has_crc32c_case == 0) {
        return true;
    }
    if (reading->crc != result->record->crc32c) {
        return error_set(error, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH",
                         "the object's CRC32C is %08x, its record says %08x", reading->crc, result->record->crc32c);
    }
    result->checked = true;
    return true;
}

/* ---- attempts ---- */

bool waybill_read_object(struct waybill_client *client, const struct waybill_read *read,
                         const struct waybill_sink *sink, struct arena *arena, struct waybill_read_result *result,
                         struct error *error) {
    *result = (struct waybill_read_result){0};
    struct reading reading = {.client = client, .read = read, .sink = sink, .arena = arena, .result = result};
    int64_t before = 0;
    for (unsigned made = 1;; made++) {
        bool broken;
        if (read_once(&reading, &broken, error) || (reading.begun && broken && result->bytes == reading.length)) {
            return check_whole(&reading, error);
        }
        if (result->bytes > before) {
            before = result->bytes; /* as long as bytes come, there is hope */
            made = 1;
        }
        if (!broken || !client_worth_retrying(error) || made >= client->max_attempts ||
            !client_back_off(client, made, error, error)) {
            return false;
        }
    }
}
