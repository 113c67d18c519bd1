/* Snapshot: a snapshot file in order, each piece checked, and the whole at its end. */
#include "common/checksum/crc32c.h"
#include "common/client/client_parts.h"
#include "common/rpc/proto_message.h"

struct snapshot {
    const struct waybill_snapshot_sink *sink;
    struct arena *arena;
    Waybill__V1__SnapshotResponse *response; /* NULL before the first message */
    int64_t bytes;
    uint32_t crc32c;
};

static bool take_data(struct snapshot *snapshot, struct bytes data, uint32_t crc, struct error *error) {
    if (crc32c(data) != crc) {
        return error_set(error, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH", "the bytes at %lld do not match their CRC32C",
                         (long long)snapshot->bytes);
    }
    snapshot->bytes += (int64_t)data.size;
    snapshot->crc32c = crc32c_extend(snapshot->crc32c, data);
    return snapshot->sink->write(snapshot->sink->self, data, error);
}

/* The answer is the first message's revision and the last one's summary. */
static bool take_message(struct snapshot *snapshot, struct bytes wire, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    const Waybill__V1__SnapshotResponse *message = (const Waybill__V1__SnapshotResponse *)proto_decode(
        &waybill__v1__snapshot_response__descriptor, wire, &arena, error);
    bool good = message != NULL || client_bad_answer(error, "is malformed");
    if (good && snapshot->response == NULL) {
        snapshot->response = arena_alloc(snapshot->arena, sizeof *snapshot->response);
        waybill__v1__snapshot_response__init(snapshot->response);
        snapshot->response->revision = message->revision;
    }
    if (good && message->data.len > 0) {
        good = take_data(snapshot, bytes_of(message->data.data, message->data.len), message->crc32c, error);
    }
    if (good && message->summary != NULL) {
        snapshot->response->summary =
            (Waybill__V1__SnapshotSummary *)client_copy(&message->summary->base, snapshot->arena);
    }
    arena_free(&arena);
    return good;
}

static bool check_whole(const struct snapshot *snapshot, struct error *error) {
    if (snapshot->response == NULL || snapshot->response->summary == NULL) {
        return client_bad_answer(error, "ends before the snapshot does");
    }
    const Waybill__V1__SnapshotSummary *summary = snapshot->response->summary;
    if (summary->size != snapshot->bytes) {
        return error_set(error, ERROR_DATA_LOSS, "SIZE_MISMATCH", "%lld bytes came instead of %lld",
                         (long long)snapshot->bytes, (long long)summary->size);
    }
    return summary->crc32c == snapshot->crc32c ||
           error_set(error, ERROR_DATA_LOSS, "CHECKSUM_MISMATCH", "the snapshot's CRC32C is %08x, it should be %08x",
                     snapshot->crc32c, summary->crc32c);
}

/* False with what went wrong; `broken` tells that it was the stream. */
static bool take_once(struct waybill_client *client, struct snapshot *snapshot, bool *broken, struct error *error) {
    struct client_stream stream;
    Waybill__V1__SnapshotRequest request = WAYBILL__V1__SNAPSHOT_REQUEST__INIT;
    *broken = false;
    if (!client_stream_open(client, client->bulk, "/waybill.v1.AdminService/Snapshot", &stream, error)) {
        return false;
    }
    rpc_stream_write_last(stream.stream, &request.base);
    struct bytes wire;
    while (rpc_stream_read(stream.stream, &wire, error) == RPC_READ_MESSAGE) {
        if (!take_message(snapshot, wire, error)) {
            client_stream_abandon(client, &stream);
            return false;
        }
    }
    *broken = true;
    return client_stream_close(client, &stream, error);
}

bool waybill_take_snapshot(struct waybill_client *client, const struct waybill_snapshot_sink *sink, struct arena *arena,
                           Waybill__V1__SnapshotResponse **response, struct error *error) {
    struct snapshot snapshot = {.sink = sink, .arena = arena};
    bool broken;
    for (unsigned made = 1; !take_once(client, &snapshot, &broken, error); made++) {
        if (!broken || snapshot.response != NULL || !client_worth_retrying(error) || made >= client->max_attempts ||
            !client_back_off(client, made, error, error)) {
            return false;
        }
    }
    *response = snapshot.response;
    return check_whole(&snapshot, error);
}
