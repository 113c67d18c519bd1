#include "object-svc/peer/peer_reader.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "object-svc/hot/block_sums.h"
#include "waybill/v1/peer_service.pb-c.h"

enum {
    BLOCK_MIN_BYTES = 4 * 1024,
    BLOCK_MAX_BYTES = 1024 * 1024,
    SUM_BYTES = 4,
};
/* Bytes asked for with one call: bounds the checksums that are held. */
#define PULL_MAX_BYTES (UINT64_C(4) << 30)

struct peer_reader {
    struct peer_port port;
    struct peer_object object;
    struct peer *peer;
    char *replica;
    uint64_t end; /* where reading is expected to end */

    /* The call under way; NULL for none. */
    struct rpc_stream *stream;
    struct arena arena; /* the message in hand */
    uint32_t block_bytes;
    uint64_t pull_end;  /* of the range asked for */
    uint64_t next;      /* where the next block begins */
    uint64_t position;  /* of the next byte to hand out; in `left` or at `next` */
    struct bytes left;  /* verified bytes before `next` */
    uint64_t sums_from; /* the block of the first checksum that is held */
    struct buffer sums;
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t block_count(const struct peer_reader *reader) {
    return block_sums_count(reader->object.size_bytes, reader->block_bytes);
}

/* ---- failures ---- */

static bool lie(const struct peer_reader *reader, struct error *error, const char *what) {
    error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "replica \"%s\" sent %s", reader->replica, what);
    error_set_detail(error, "replica", "%s", reader->replica);
    return false;
}

static bool away(const char *replica, struct error *error, const char *how) {
    error_set(error, ERROR_UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA",
              "the object is in the hot volumes of replica \"%s\", which %s", replica, how);
    error_set_detail(error, "replica", "%s", replica);
    return false;
}

/* What the end of a call means to whoever reads. */
static bool refused(struct peer_reader *reader, const struct error *cause, struct error *error) {
    switch (cause->code) {
    case ERROR_NOT_FOUND:
        return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "replica \"%s\" does not have the object",
                         reader->replica);
    case ERROR_DATA_LOSS:
        return lie(reader, error, "word that its copy is damaged");
    case ERROR_RESOURCE_EXHAUSTED:
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "PEER_BUSY", "replica \"%s\" is busy: %.200s", reader->replica,
                  cause->message);
        error->retry_after_ms = cause->retry_after_ms;
        return false;
    default:
        if (strcmp(cause->reason, "SERVER_SILENT") == 0) {
            peer_note_hung(reader->peer);
            return away(reader->replica, error, "does not answer");
        }
        peer_table_refresh(reader->port.peers);
        log_info("peer_unreachable", LOG_ERROR(cause), LOG_STR("replica", reader->replica));
        return away(reader->replica, error, "cannot be reached");
    }
}

static void end_call(struct peer_reader *reader) {
    struct error ignored = {0};
    if (reader->stream != NULL) {
        rpc_stream_cancel(reader->stream);
        rpc_stream_close(reader->stream, &ignored);
        reader->stream = NULL;
    }
    reader->left = (struct bytes){0};
}

/* ---- messages ---- */

static Waybill__V1__ReadHotObjectResponse *next_message(struct peer_reader *reader, struct error *error) {
    struct bytes wire;
    struct error cause = {0};
    arena_free(&reader->arena);
    switch (rpc_stream_read(reader->stream, &wire, &cause)) {
    case RPC_READ_MESSAGE:
        break;
    case RPC_READ_END:
        lie(reader, error, "less than it was asked for");
        return NULL;
    case RPC_READ_ERROR:
        refused(reader, &cause, error);
        return NULL;
    }
    Waybill__V1__ReadHotObjectResponse *message =
        waybill__v1__read_hot_object_response__unpack(arena_protobuf(&reader->arena), wire.size, wire.data);
    if (message == NULL) {
        lie(reader, error, "what cannot be decoded");
    }
    return message;
}

static bool take_header(struct peer_reader *reader, uint64_t offset, struct error *error) {
    Waybill__V1__ReadHotObjectResponse *message = next_message(reader, error);
    if (message == NULL) {
        return false;
    }
    const Waybill__V1__HotObjectHeader *header = message->header;
    if (message->message_case != WAYBILL__V1__READ_HOT_OBJECT_RESPONSE__MESSAGE_HEADER) {
        return lie(reader, error, "no header");
    }
    if ((uint64_t)header->size != reader->object.size_bytes || header->crc32c != reader->object.crc32c) {
        return lie(reader, error, "another object than the record describes");
    }
    if (header->block_bytes < BLOCK_MIN_BYTES || header->block_bytes > BLOCK_MAX_BYTES) {
        return lie(reader, error, "a header with blocks of a size that is never used");
    }
    reader->block_bytes = (uint32_t)header->block_bytes;
    if ((uint64_t)header->data_offset != offset - offset % reader->block_bytes) {
        return lie(reader, error, "other blocks than it was asked for");
    }
    reader->next = (uint64_t)header->data_offset;
    return true;
}

/* Keeps those of the blocks that were asked for, and joins all to the checksum of the whole. */
static void keep_sums(struct peer_reader *reader, struct bytes sums, uint64_t first, uint32_t *whole) {
    uint64_t keep_end = (reader->pull_end - 1) / reader->block_bytes + 1;
    uint32_t shift = crc32c_shift(reader->block_bytes);
    for (size_t i = 0; i * SUM_BYTES < sums.size; i++) {
        uint64_t block = first + i;
        uint32_t sum = get_le32(sums.data + i * SUM_BYTES);
        uint64_t length = reader->object.size_bytes - block * reader->block_bytes;
        *whole = crc32c_join(*whole, sum, length < reader->block_bytes ? crc32c_shift(length) : shift);
        if (block >= reader->sums_from && block < keep_end) {
            buffer_append_le32(&reader->sums, sum);
        }
    }
}

static bool take_sums(struct peer_reader *reader, struct error *error) {
    uint64_t count = block_count(reader);
    uint32_t whole = 0;
    buffer_clear(&reader->sums);
    reader->sums_from = reader->next / reader->block_bytes;
    if (count == 0) {
        buffer_append_le32(&reader->sums, reader->object.crc32c);
        return true;
    }
    for (uint64_t taken = 0; taken < count;) {
        Waybill__V1__ReadHotObjectResponse *message = next_message(reader, error);
        if (message == NULL) {
            return false;
        }
        struct bytes sums = {message->block_sums.data, message->block_sums.len};
        if (message->message_case != WAYBILL__V1__READ_HOT_OBJECT_RESPONSE__MESSAGE_BLOCK_SUMS || sums.size == 0 ||
            sums.size % SUM_BYTES != 0 || sums.size / SUM_BYTES > count - taken) {
            return lie(reader, error, "other than its block checksums");
        }
        keep_sums(reader, sums, taken, &whole);
        taken += sums.size / SUM_BYTES;
    }
    return whole == reader->object.crc32c || lie(reader, error, "block checksums of another object");
}

/* Whole blocks that follow on those before, each as its checksum says. */
static bool take_blocks(struct peer_reader *reader, struct error *error) {
    Waybill__V1__ReadHotObjectResponse *message = next_message(reader, error);
    if (message == NULL) {
        return false;
    }
    struct bytes data = {message->data.data, message->data.len};
    uint64_t data_end = reader->next + data.size;
    if (message->message_case != WAYBILL__V1__READ_HOT_OBJECT_RESPONSE__MESSAGE_DATA || data.size == 0 ||
        data_end > reader->object.size_bytes ||
        (data_end % reader->block_bytes != 0 && data_end != reader->object.size_bytes)) {
        return lie(reader, error, "other than whole blocks");
    }
    size_t at = (size_t)(reader->next / reader->block_bytes - reader->sums_from);
    for (size_t begin = 0; begin < data.size; begin += reader->block_bytes, at++) {
        struct bytes block = {data.data + begin, (size_t)smaller(reader->block_bytes, data.size - begin)};
        if ((at + 1) * SUM_BYTES > reader->sums.size || crc32c(block) != get_le32(reader->sums.data + at * SUM_BYTES)) {
            return lie(reader, error, "a damaged block");
        }
    }
    reader->left = data;
    reader->next = data_end;
    return true;
}

/* ---- calls ---- */

static bool begin_call(struct peer_reader *reader, uint64_t offset, struct error *error) {
    char id[UUID_TEXT_BYTES];
    uuid_print(&reader->object.payload_id, id);
    uint64_t until = reader->end > offset ? reader->end : reader->object.size_bytes;
    reader->pull_end = smaller(until, offset + PULL_MAX_BYTES);
    Waybill__V1__ReadHotObjectRequest request = WAYBILL__V1__READ_HOT_OBJECT_REQUEST__INIT;
    request.payload_id = id;
    request.read_offset = (int64_t)offset;
    request.read_limit = (int64_t)(reader->pull_end - offset);
    struct rpc_channel *channel = peer_channel(reader->peer);
    reader->stream = rpc_channel_open_stream(channel, "/waybill.v1.PeerService/ReadHotObject", NULL, error);
    if (reader->stream == NULL) {
        return away(reader->replica, error, "cannot be asked");
    }
    /* The half-close is left to the end: it would wait for the connection, without a bound. */
    rpc_stream_limit_read(reader->stream, reader->port.timeout_ms);
    if (!rpc_stream_write(reader->stream, &request.base)) {
        return away(reader->replica, error, "cannot be asked");
    }
    return take_header(reader, offset, error) && take_sums(reader, error);
}

/* Has a call whose next byte to hand out is `offset`. */
static bool start_call(struct peer_reader *reader, uint64_t offset, struct error *error) {
    end_call(reader);
    if (peer_hung_lately(reader->peer)) {
        return away(reader->replica, error, "did not answer a moment ago");
    }
    if (!begin_call(reader, offset, error)) {
        end_call(reader);
        return false;
    }
    reader->position = offset;
    return true;
}

/* Once more where the connection was an old one, or broke. */
static bool start_call_twice(struct peer_reader *reader, uint64_t offset, struct error *error) {
    struct error first;
    if (start_call(reader, offset, &first)) {
        return true;
    }
    if (first.code != ERROR_UNAVAILABLE) {
        *error = first;
        return false;
    }
    rpc_channel_reconnect(peer_channel(reader->peer));
    return start_call(reader, offset, error);
}

struct peer_reader *peer_reader_open(const struct peer_port *port, const struct peer_object *object, uint64_t offset,
                                     uint64_t end, struct error *error) {
    struct peer *peer = port->peers != NULL ? peer_table_get(port->peers, object->replica) : NULL;
    if (peer == NULL) {
        if (port->peers != NULL) {
            peer_table_refresh(port->peers);
        }
        away(object->replica, error, "is not there");
        return NULL;
    }
    struct peer_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->replica = strdup(object->replica)) == NULL) {
        abort();
    }
    reader->port = *port;
    reader->object = *object;
    reader->peer = peer;
    reader->end = end;
    arena_init(&reader->arena);
    if (!start_call_twice(reader, offset, error)) {
        peer_reader_close(reader);
        return NULL;
    }
    return reader;
}

/* Has verified bytes from the position on. */
static bool fill(struct peer_reader *reader, uint64_t offset, struct error *error) {
    bool in_range = reader->stream != NULL && offset == reader->position && offset < reader->pull_end;
    if (!in_range && !start_call_twice(reader, offset, error)) {
        return false;
    }
    if (reader->left.size == 0) {
        uint64_t blocks_from = reader->next;
        if (!take_blocks(reader, error)) {
            end_call(reader);
            return false;
        }
        /* The first block may begin before what was asked for. */
        size_t skip = (size_t)(offset - blocks_from);
        if (skip >= reader->left.size) {
            end_call(reader);
            return lie(reader, error, "less than it was asked for");
        }
        reader->left = bytes_of(reader->left.data + skip, reader->left.size - skip);
    }
    return true;
}

static bool fill_again(struct peer_reader *reader, uint64_t offset, struct error *error) {
    struct error first = {0};
    if (fill(reader, offset, &first)) {
        return true;
    }
    if (first.code != ERROR_UNAVAILABLE || peer_hung_lately(reader->peer)) {
        *error = first;
        return false;
    }
    return fill(reader, offset, error);
}

int64_t peer_reader_read(struct peer_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    uint64_t wanted = offset < reader->object.size_bytes ? smaller(size, reader->object.size_bytes - offset) : 0;
    uint64_t done = 0;
    while (done < wanted) {
        if (!fill_again(reader, offset + done, error)) {
            return -1;
        }
        size_t part = (size_t)smaller(reader->left.size, wanted - done);
        memcpy((uint8_t *)out + done, reader->left.data, part);
        reader->left = bytes_of(reader->left.data + part, reader->left.size - part);
        done += part;
        reader->position = offset + done;
    }
    return (int64_t)done;
}

void peer_reader_close(struct peer_reader *reader) {
    if (reader != NULL) {
        end_call(reader);
        arena_free(&reader->arena);
        buffer_free(&reader->sums);
        peer_release(reader->peer);
        free(reader->replica);
        free(reader);
    }
}
