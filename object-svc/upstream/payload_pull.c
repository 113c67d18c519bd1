/* Pulling payloads over FetchPayloads: all requests go out first (they are small and at most
 * PAYLOAD_PULL_MAX), then the answers come in their order. */
#include <stdlib.h>
#include <string.h>

#include "common/base/wire_reader.h"
#include "common/checksum/crc32c.h"
#include "object-svc/upstream/metadata_client_parts.h"
#include "waybill/v1/payload_service.pb-c.h"

enum {
    SILENCE_MS = 15000, /* a metadata-svc that sends nothing for so long is not waited for */
    WHOLE_BYTES = 1 << 20,
};

/* What is still to be told of a payload that came in one message. */
enum whole_rest { WHOLE_TOLD, WHOLE_DATA, WHOLE_END };

struct payload_pull {
    struct rpc_stream *stream;
    struct arena arena; /* the message in hand */
    size_t count;
    size_t index; /* the payload whose answer comes now */
    enum whole_rest rest;
    struct bytes whole; /* until the next message */
    struct uuid payload_ids[];
};

static bool send_requests(struct payload_pull *pull, const struct payload_range *ranges) {
    for (size_t i = 0; i < pull->count; i++) {
        char id[UUID_TEXT_BYTES];
        uuid_print(&ranges[i].payload_id, id);
        Waybill__V1__FetchPayloadsRequest request = WAYBILL__V1__FETCH_PAYLOADS_REQUEST__INIT;
        request.payload_id = id;
        request.read_offset = (int64_t)ranges[i].offset;
        request.read_limit = (int64_t)ranges[i].limit;
        request.whole_limit = WHOLE_BYTES;
        pull->payload_ids[i] = ranges[i].payload_id;
        if (i + 1 == pull->count) {
            return rpc_stream_write_last(pull->stream, &request.base);
        }
        rpc_stream_more_follows(pull->stream);
        if (!rpc_stream_write(pull->stream, &request.base)) {
            return false;
        }
    }
    return rpc_stream_writes_done(pull->stream);
}

static struct payload_pull *open_pull(void *self, const struct payload_range *ranges, size_t count,
                                      struct error *error) {
    struct metadata_client *client = self;
    struct rpc_stream *stream =
        rpc_channel_open_stream(client->payloads, "/waybill.v1.PayloadService/FetchPayloads", NULL, error);
    if (stream == NULL) {
        return NULL;
    }
    struct payload_pull *pull = calloc(1, sizeof *pull + count * sizeof pull->payload_ids[0]);
    if (pull == NULL) {
        abort();
    }
    pull->stream = stream;
    rpc_stream_limit_read(stream, SILENCE_MS);
    pull->count = count;
    arena_init(&pull->arena);
    if (send_requests(pull, ranges)) {
        return pull;
    }
    if (rpc_stream_close(stream, error)) {
        error_set(error, ERROR_UNAVAILABLE, "PULL_BROKEN", "metadata-svc ended the pull early");
    }
    free(pull);
    return NULL;
}

static void close_pull(struct payload_pull *pull) {
    struct error ignored = {0};
    rpc_stream_cancel(pull->stream);
    rpc_stream_close(pull->stream, &ignored);
    arena_free(&pull->arena);
    free(pull);
}

static enum pull_step broken(struct pull_event *event, const char *what) {
    error_set(&event->error, ERROR_UNAVAILABLE, "PULL_BROKEN", "pulling payloads: %s", what);
    return PULL_BROKEN;
}

/* Somebody is there, but what it sends for this payload makes no sense. */
static enum pull_step garbled(struct pull_event *event, const char *what) {
    error_set(&event->error, ERROR_UNAVAILABLE, PULL_GARBLED, "pulling payloads: %s", what);
    return PULL_BROKEN;
}

/* A chunk as it is in the message: protobuf-c would copy its bytes. */
struct chunk {
    char payload_id[UUID_TEXT_BYTES];
    struct bytes data;
    bool checked;
    uint32_t crc32c;
};

enum {
    RESPONSE_PAYLOAD_ID = 1,
    RESPONSE_HEADER = 2,
    RESPONSE_CHUNK = 3,
    RESPONSE_END = 4,
    RESPONSE_ERROR = 5,
    RESPONSE_WHOLE = 6,
    CHUNK_DATA = 1,
    CHUNK_CRC32C = 2,
    WHOLE_HEADER_FIELD = 1,
    WHOLE_DATA_FIELD = 2,
};

static bool read_chunk(struct bytes wire, struct chunk *chunk) {
    struct wire_field field;
    while (wire_next(&wire, &field)) {
        if (field.number == CHUNK_DATA && field.type == WIRE_LENGTH) {
            chunk->data = field.bytes;
        } else if (field.number == CHUNK_CRC32C && field.type == WIRE_FIXED32) {
            chunk->checked = true;
            chunk->crc32c = get_le32(field.whole.data + field.whole.size - sizeof chunk->crc32c);
        }
    }
    return wire.size == 0;
}

/* False where the message holds anything else than a chunk, which protobuf-c is to read then. */
static bool find_chunk(struct bytes wire, struct chunk *chunk) {
    struct wire_field field;
    unsigned chunks = 0;
    *chunk = (struct chunk){0};
    while (wire_next(&wire, &field)) {
        if (field.number == RESPONSE_PAYLOAD_ID && field.bytes.size == sizeof chunk->payload_id - 1) {
            memcpy(chunk->payload_id, field.bytes.data, field.bytes.size);
        } else if (field.number == RESPONSE_CHUNK && field.type == WIRE_LENGTH) {
            chunks += read_chunk(field.bytes, chunk) ? 1 : 2;
        } else if (field.number == RESPONSE_HEADER || field.number == RESPONSE_END || field.number == RESPONSE_ERROR ||
                   field.number == RESPONSE_WHOLE) {
            return false;
        }
    }
    return chunks == 1 && wire.size == 0;
}

/* A payload in one message, likewise. */
struct whole {
    char payload_id[UUID_TEXT_BYTES];
    struct bytes header;
    struct bytes data;
};

static bool find_whole(struct bytes wire, struct whole *whole) {
    struct wire_field field;
    struct bytes inside = {0};
    *whole = (struct whole){0};
    while (wire_next(&wire, &field)) {
        if (field.number == RESPONSE_PAYLOAD_ID && field.bytes.size == sizeof whole->payload_id - 1) {
            memcpy(whole->payload_id, field.bytes.data, field.bytes.size);
        } else if (field.number == RESPONSE_WHOLE && field.type == WIRE_LENGTH) {
            inside = field.bytes;
        }
    }
    while (wire_next(&inside, &field)) {
        if (field.number == WHOLE_HEADER_FIELD && field.type == WIRE_LENGTH) {
            whole->header = field.bytes;
        } else if (field.number == WHOLE_DATA_FIELD && field.type == WIRE_LENGTH) {
            whole->data = field.bytes;
        }
    }
    return whole->header.data != NULL && wire.size == 0 && inside.size == 0;
}

static bool is_expected(const struct payload_pull *pull, const char *payload_id) {
    struct uuid id;
    return pull->index < pull->count && uuid_parse_text(payload_id, &id) &&
           uuid_equal(&id, &pull->payload_ids[pull->index]);
}

static enum pull_step take_chunk(const struct payload_pull *pull, const struct chunk *chunk, struct pull_event *event) {
    if (!is_expected(pull, chunk->payload_id)) {
        return garbled(event, "an answer came out of order");
    }
    event->data = chunk->data;
    if (!chunk->checked || crc32c(event->data) != chunk->crc32c) {
        return garbled(event, "a chunk arrived damaged");
    }
    return PULL_CHUNK;
}

static enum pull_step take_whole(struct payload_pull *pull, const struct whole *whole, struct pull_event *event) {
    if (!is_expected(pull, whole->payload_id)) {
        return garbled(event, "an answer came out of order");
    }
    const Waybill__V1__PayloadHeader *header =
        waybill__v1__payload_header__unpack(arena_protobuf(&pull->arena), whole->header.size, whole->header.data);
    if (header == NULL) {
        return garbled(event, "a header cannot be decoded");
    }
    if ((uint64_t)header->size != whole->data.size || header->crc32c != crc32c(whole->data)) {
        return garbled(event, "a payload arrived damaged");
    }
    event->size_bytes = whole->data.size;
    event->crc32c = header->crc32c;
    pull->whole = whole->data;
    pull->rest = whole->data.size > 0 ? WHOLE_DATA : WHOLE_END;
    return PULL_BEGIN;
}

static enum pull_step tell_rest(struct payload_pull *pull, struct pull_event *event) {
    if (pull->rest == WHOLE_DATA) {
        pull->rest = WHOLE_END;
        event->data = pull->whole;
        return PULL_CHUNK;
    }
    pull->rest = WHOLE_TOLD;
    pull->index++;
    return PULL_END;
}

static enum pull_step take_message(struct payload_pull *pull, const Waybill__V1__FetchPayloadsResponse *message,
                                   struct pull_event *event) {
    if (!is_expected(pull, message->payload_id)) {
        return garbled(event, "an answer came out of order");
    }
    switch (message->message_case) {
    case WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_HEADER:
        event->size_bytes = (uint64_t)message->header->size;
        event->crc32c = message->header->crc32c;
        return PULL_BEGIN;
    case WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_END:
        pull->index++;
        return PULL_END;
    case WAYBILL__V1__FETCH_PAYLOADS_RESPONSE__MESSAGE_ERROR:
        pull->index++;
        error_set(&event->error, (enum error_code)message->error->code,
                  message->error->reason[0] != '\0' ? message->error->reason : "PAYLOAD_REFUSED", "%s",
                  message->error->message);
        return PULL_REFUSED;
    default:
        return garbled(event, "an answer of an unknown kind");
    }
}

static enum pull_step next_step(struct payload_pull *pull, struct pull_event *event) {
    struct bytes wire;
    *event = (struct pull_event){.index = pull->index};
    if (pull->rest != WHOLE_TOLD) {
        return tell_rest(pull, event);
    }
    arena_free(&pull->arena);
    switch (rpc_stream_read(pull->stream, &wire, &event->error)) {
    case RPC_READ_MESSAGE:
        break;
    case RPC_READ_END:
        return pull->index == pull->count ? PULL_DONE : broken(event, "the stream ended early");
    case RPC_READ_ERROR:
        return event->error.code == ERROR_DEADLINE_EXCEEDED ? broken(event, "metadata-svc went silent") : PULL_BROKEN;
    }
    struct chunk chunk;
    if (find_chunk(wire, &chunk)) {
        return take_chunk(pull, &chunk, event);
    }
    struct whole whole;
    if (find_whole(wire, &whole)) {
        return take_whole(pull, &whole, event);
    }
    Waybill__V1__FetchPayloadsResponse *message =
        waybill__v1__fetch_payloads_response__unpack(arena_protobuf(&pull->arena), wire.size, wire.data);
    return message != NULL ? take_message(pull, message, event) : garbled(event, "an answer cannot be decoded");
}

struct payload_source metadata_client_payload_source(struct metadata_client *client) {
    return (struct payload_source){open_pull, next_step, close_pull, client};
}
