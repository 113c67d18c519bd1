/* AdminService.Snapshot: a snapshot file as a stream, on the bulk port. The client's pace is
 * the snapshot's, up to a limit: a message is made while the one before it is under way. */
#include <string.h>

#include "common/base/log.h"
#include "common/base/pace.h"
#include "common/checksum/crc32c.h"
#include "common/rpc/bulk_field.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_stream.h"
#include "metadata-svc/api/metadata_api.h"
#include "metadata-svc/snapshot/snapshot_writer.h"
#include "metadata-svc/store/record_codec.h"
#include "waybill/v1/admin_service.pb-c.h"

enum {
    MESSAGE_DATA_BYTES = 256 * 1024,
    RESPONSE_DATA_FIELD = 2,
    BUSY_RETRY_MS = 1000,
    STALL_MS = 120000, /* it keeps the store from forgetting what is overwritten, and others from taking one */
};

struct sending {
    struct rpc_stream *stream;
    struct pace pace;
    int64_t revision; /* for the first message; then 0 */
    struct rpc_buffer *body;
    size_t size;
};

static bool set_cancelled(struct error *error) {
    return error_set(error, ERROR_CANCELLED, "SNAPSHOT_CANCELLED", "the client went away");
}

/* What was gathered. */
static bool send_data(struct sending *sending, struct error *error) {
    struct buffer head = {0};
    Waybill__V1__SnapshotResponse response = WAYBILL__V1__SNAPSHOT_RESPONSE__INIT;
    response.revision = sending->revision;
    response.crc32c = crc32c(bytes_of(rpc_buffer_data(sending->body), sending->size));
    bulk_head_append(&head, &response.base);
    bulk_field_append(&head, RESPONSE_DATA_FIELD, sending->size);
    bool good = rpc_stream_write_bulk(sending->stream, buffer_bytes(&head), sending->body, sending->size);
    buffer_free(&head);
    int64_t wait_ms = pace_after(&sending->pace, sending->size);
    sending->revision = 0;
    sending->body = NULL;
    sending->size = 0;
    /* A server that drains goes as fast as it can. */
    return (good &&
            (wait_ms == 0 || rpc_stream_wait(sending->stream, wait_ms) || !rpc_stream_cancelled(sending->stream))) ||
           set_cancelled(error);
}

static bool begin(void *self, const struct snapshot_header *header, struct error *error) {
    struct sending *sending = self;
    (void)error;
    sending->revision = header->revision;
    log_info("snapshot_begins", LOG_INT("revision", header->revision));
    return true;
}

static bool write_data(void *self, struct bytes data, struct error *error) {
    struct sending *sending = self;
    while (data.size > 0) {
        if (sending->body == NULL) {
            sending->body = rpc_buffer_new(MESSAGE_DATA_BYTES);
        }
        size_t room = MESSAGE_DATA_BYTES - sending->size;
        size_t part = data.size < room ? data.size : room;
        memcpy(rpc_buffer_data(sending->body) + sending->size, data.data, part);
        sending->size += part;
        data = bytes_of(data.data + part, data.size - part);
        if (sending->size == MESSAGE_DATA_BYTES && !send_data(sending, error)) {
            return false;
        }
    }
    return !rpc_stream_cancelled(sending->stream) || set_cancelled(error);
}

static bool send_summary(struct sending *sending, const struct snapshot_summary *summary, struct arena *arena,
                         struct error *error) {
    Waybill__V1__SnapshotSummary message = WAYBILL__V1__SNAPSHOT_SUMMARY__INIT;
    message.shard = (char *)(uintptr_t)summary->header.shard;
    message.take_time = timestamp_to_proto(summary->header.take_unix_us, arena);
    message.entries = summary->totals.entries;
    message.payloads = summary->totals.payloads;
    message.payload_bytes = summary->totals.payload_bytes;
    message.lost_payloads = summary->totals.lost_payloads;
    message.size = summary->size_bytes;
    message.crc32c = summary->crc32c;
    Waybill__V1__SnapshotResponse response = WAYBILL__V1__SNAPSHOT_RESPONSE__INIT;
    response.summary = &message;
    return rpc_stream_write(sending->stream, &response.base) || set_cancelled(error);
}

static bool send_snapshot(struct metadata_api *api, struct rpc_stream *stream, struct arena *arena,
                          struct error *error) {
    struct sending sending = {
        .stream = stream,
        .pace = {.clock = api->clock, .bytes_per_second = api->snapshot_bytes_per_second},
    };
    struct snapshot_sink sink = {begin, write_data, &sending};
    struct snapshot_summary summary;
    bool good = snapshot_write(api->kv, api->spool, api->shard, api->clock, &sink, &summary, error) &&
                (sending.size == 0 || send_data(&sending, error)) && send_summary(&sending, &summary, arena, error);
    rpc_buffer_free(sending.body);
    if (good) {
        log_info("snapshot_taken", LOG_INT("revision", summary.header.revision), LOG_INT("bytes", summary.size_bytes),
                 LOG_INT("payloads", summary.totals.payloads), LOG_INT("lost_payloads", summary.totals.lost_payloads));
    } else {
        log_warn("snapshot_failed", LOG_ERROR(error), LOG_STR("hint", "take another one"));
    }
    return good;
}

static bool serve(struct metadata_api *api, struct rpc_stream *stream, struct arena *arena, struct error *error) {
    struct bytes wire;
    if (rpc_stream_read(stream, &wire, error) != RPC_READ_MESSAGE) {
        return error->code == ERROR_OK &&
               error_set(error, ERROR_INVALID_ARGUMENT, "REQUEST_MISSING", "the stream held no request");
    }
    if (proto_decode(&waybill__v1__snapshot_request__descriptor, wire, arena, error) == NULL) {
        return false;
    }
    if (atomic_exchange(&api->snapshot_running, true)) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "SNAPSHOT_RUNNING", "a snapshot is being taken already");
        error->retry_after_ms = BUSY_RETRY_MS;
        return false;
    }
    rpc_stream_limit_stall(stream, STALL_MS);
    bool good = send_snapshot(api, stream, arena, error);
    atomic_store(&api->snapshot_running, false);
    return good;
}

static void take_snapshot(void *service, struct rpc_stream *stream) {
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    bool good = serve(service, stream, &arena, &error);
    rpc_stream_finish(stream, good ? NULL : &error);
    arena_free(&arena);
}

void snapshot_api_add_to(struct metadata_api *api, struct rpc_server *server) {
    rpc_server_add_stream(server, "/waybill.v1.AdminService/Snapshot", take_snapshot, api);
}
