/* Payloads as streams of chunks: a start, chunks with their checksums, a finish with the
 * checksum of the whole. */
#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "common/client/client_parts.h"
#include "common/client/client_upload.h"
#include "common/rpc/bulk_field.h"
#include "common/rpc/proto_message.h"

enum {
    REQUEST_CHUNK_FIELD = 3,
    CHUNK_DATA_FIELD = 1,
    UNSENT_MOST_BYTES = 2 * CLIENT_CHUNK_BYTES, /* that may have been read and never left */
};

struct upload {
    struct waybill_client *client;
    const struct waybill_source *source;
    const struct waybill_progress *progress;  /* or NULL */
    const char *upload_id;                    /* under which it goes on when it broke off */
    Waybill__V1__NewRecordUpload *new_record; /* the start, one of these */
    Waybill__V1__AnnouncedUpload *announced;
    int64_t skip;     /* bytes that the server has already */
    int64_t furthest; /* the most that it ever had */
    int64_t done;     /* bytes read from the source in this attempt */
    uint32_t crc;     /* of those */
    bool touched;     /* the source gave bytes in any attempt */
    bool under_way;   /* the server had taken some of it */
    bool source_failed;
};

/* ---- one attempt ---- */

/* Sends the first `size` bytes of the buffer, which it takes. */
static bool send_chunk(struct rpc_stream *stream, struct rpc_buffer *body, size_t size) {
    Waybill__V1__PayloadChunk chunk = WAYBILL__V1__PAYLOAD_CHUNK__INIT;
    chunk.has_crc32c_case = WAYBILL__V1__PAYLOAD_CHUNK__HAS_CRC32C_CRC32C;
    chunk.crc32c = crc32c(bytes_of(rpc_buffer_data(body), size));
    struct buffer head = {0};
    bulk_member_append(&head, REQUEST_CHUNK_FIELD, &chunk.base, CHUNK_DATA_FIELD, size);
    bool sent = rpc_stream_write_bulk(stream, buffer_bytes(&head), body, size);
    buffer_free(&head);
    return sent;
}

static bool check_length(struct upload *upload, bool at_end, struct error *error) {
    int64_t size = upload->source->size;
    if (size < 0 || (at_end ? upload->done == size : upload->done <= size)) {
        return true;
    }
    upload->source_failed = true;
    return error_set(error, ERROR_ABORTED, "SOURCE_CHANGED", "the payload had %lld bytes and now has %s: put it again",
                     (long long)size, at_end ? "fewer" : "more");
}

/* Reads the next chunk of the source; `size` is what of it is to be sent, at the buffer's
 * start. False on failure; NULL in `body` at the end. */
static bool next_chunk(struct upload *upload, struct rpc_buffer **body, size_t *size, struct error *error) {
    *body = rpc_buffer_new(CLIENT_CHUNK_BYTES);
    uint8_t *data = rpc_buffer_data(*body);
    int64_t got = upload->source->read(upload->source->self, data, CLIENT_CHUNK_BYTES, error);
    upload->source_failed = got < 0;
    upload->touched |= got > 0;
    upload->done += got > 0 ? got : 0;
    bool good = got >= 0 && check_length(upload, got == 0, error);
    if (!good || got == 0) {
        rpc_buffer_free(*body);
        *body = NULL;
        return good;
    }
    upload->crc = crc32c_extend(upload->crc, bytes_of(data, (size_t)got));
    int64_t before = upload->done - got;
    int64_t known = upload->skip > before ? upload->skip - before : 0;
    known = known < got ? known : got;
    *size = (size_t)(got - known);
    if (known > 0 && *size > 0) {
        memmove(data, data + known, *size);
    }
    return true;
}

/* Then the finish follows at once. */
static bool is_whole(const struct upload *upload) {
    return upload->source->size >= 0 && upload->done == upload->source->size;
}

static void tell_progress(const struct upload *upload) {
    if (upload->progress != NULL) {
        upload->progress->advance(upload->progress->self, upload->done, upload->source->size);
    }
}

/* Sends everything. False when the source failed; a broken stream is for the status to tell. */
static bool send_all(struct upload *upload, struct rpc_stream *stream, const Waybill__V1__UploadPayloadRequest *start,
                     struct error *error) {
    rpc_stream_more_follows(stream);
    bool sent = rpc_stream_write(stream, &start->base);
    while (sent) {
        struct rpc_buffer *body;
        size_t size = 0;
        if (!next_chunk(upload, &body, &size, error)) {
            return false;
        }
        if (body == NULL) {
            break;
        }
        if (size > 0) {
            if (is_whole(upload)) {
                rpc_stream_more_follows(stream);
            }
            sent = send_chunk(stream, body, size);
        } else {
            rpc_buffer_free(body);
        }
        tell_progress(upload);
    }
    if (sent) {
        Waybill__V1__FinishUpload finish = WAYBILL__V1__FINISH_UPLOAD__INIT;
        finish.has_crc32c_case = WAYBILL__V1__FINISH_UPLOAD__HAS_CRC32C_CRC32C;
        finish.crc32c = upload->crc;
        Waybill__V1__UploadPayloadRequest last = WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__INIT;
        last.message_case = WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_FINISH;
        last.finish = &finish;
        rpc_stream_write_last(stream, &last.base);
    }
    return true;
}

static bool take_answer(struct rpc_stream *stream, struct arena *arena, Waybill__V1__Record **record,
                        struct error *error) {
    struct bytes wire;
    if (rpc_stream_read(stream, &wire, error) != RPC_READ_MESSAGE) {
        return false; /* the status says why */
    }
    Waybill__V1__UploadPayloadResponse *response = (Waybill__V1__UploadPayloadResponse *)proto_decode(
        &waybill__v1__upload_payload_response__descriptor, wire, arena, error);
    *record = response != NULL ? response->record : NULL;
    return *record != NULL;
}

static bool upload_once(struct upload *upload, const Waybill__V1__UploadPayloadRequest *start, struct arena *arena,
                        Waybill__V1__Record **record, struct error *error) {
    struct client_stream stream;
    if (!client_stream_open(upload->client, upload->client->bulk, "/waybill.v1.PayloadService/UploadPayload", &stream,
                            error)) {
        return false;
    }
    upload->done = 0;
    upload->crc = 0;
    tell_progress(upload);
    if (!send_all(upload, stream.stream, start, error)) {
        client_stream_abandon(upload->client, &stream);
        return false;
    }
    bool answered = take_answer(stream.stream, arena, record, error);
    if (!client_stream_close(upload->client, &stream, error)) {
        return false;
    }
    return answered || client_bad_answer(error, "holds no record");
}

/* ---- attempts ---- */

bool waybill_query_upload(struct waybill_client *client, const char *upload_id, struct arena *arena,
                          Waybill__V1__QueryUploadResponse **response, struct error *error) {
    Waybill__V1__QueryUploadRequest request = WAYBILL__V1__QUERY_UPLOAD_REQUEST__INIT;
    request.upload_id = client_text(upload_id);
    *response = (Waybill__V1__QueryUploadResponse *)client_call(
        client, client->bulk, "/waybill.v1.PayloadService/QueryUpload", &request.base,
        &waybill__v1__query_upload_response__descriptor, arena, error);
    return *response != NULL;
}

bool waybill_cancel_upload(struct waybill_client *client, const char *upload_id, const char *reason,
                           struct arena *arena, Waybill__V1__CancelUploadResponse **response, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__CancelUploadRequest request = WAYBILL__V1__CANCEL_UPLOAD_REQUEST__INIT;
    request.upload_id = client_text(upload_id);
    request.request_id = client_request_id(NULL, id);
    request.reason = client_text(reason);
    *response = (Waybill__V1__CancelUploadResponse *)client_call(
        client, client->bulk, "/waybill.v1.PayloadService/CancelUpload", &request.base,
        &waybill__v1__cancel_upload_response__descriptor, arena, error);
    return *response != NULL;
}

/* The start says where its bytes belong. A source that cannot go back needs no place to go on. */
static void set_offset(struct upload *upload) {
    if (upload->announced != NULL) {
        upload->announced->write_offset = upload->skip;
    } else if (upload->source->seek != NULL) {
        upload->new_record->has_write_offset_case = WAYBILL__V1__NEW_RECORD_UPLOAD__HAS_WRITE_OFFSET_WRITE_OFFSET;
        upload->new_record->write_offset = upload->skip;
    }
}

/* Asks where the upload goes on. A server that cannot tell takes it from the start, and so does one
 * that has nothing yet of an upload that makes a record of its own. */
static bool find_offset(struct upload *upload, struct arena *arena, struct error *error) {
    Waybill__V1__QueryUploadResponse *arrived;
    upload->skip = 0;
    if (waybill_query_upload(upload->client, upload->upload_id, arena, &arrived, error)) {
        upload->skip = arrived->persisted_size;
        return true;
    }
    return error->code == ERROR_UNIMPLEMENTED || (upload->new_record != NULL && error->code == ERROR_NOT_FOUND);
}

/* What has arrived may change between asking and sending; and of a connection that broke the server
 * may hear later than we do, or still commit what came over it. */
static bool may_help(const struct error *error, bool broke_before) {
    return client_worth_retrying(error) || error->code == ERROR_OUT_OF_RANGE ||
           (broke_before &&
            (strcmp(error->reason, "UPLOAD_IN_PROGRESS") == 0 || strcmp(error->reason, "PAYLOAD_SPOOLED") == 0));
}

/* Makes ready for another attempt, after `made` that brought nothing, if that may help; else
 * `error` stays. */
static bool prepare_again(struct upload *upload, unsigned made, bool broke_before, struct error *error) {
    const struct waybill_source *source = upload->source;
    if (upload->source_failed || !may_help(error, broke_before) || made >= upload->client->max_attempts ||
        (upload->touched && source->seek == NULL)) {
        return false;
    }
    return client_back_off(upload->client, made, error, error) &&
           (!upload->touched || source->seek(source->self, 0, error));
}

/* As often as it takes, as long as each time more has arrived than before. */
static bool run_upload(struct upload *upload, bool asks, struct arena *arena, Waybill__V1__Record **record,
                       struct error *error) {
    Waybill__V1__UploadPayloadRequest start = WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__INIT;
    if (upload->announced != NULL) {
        start.message_case = WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_ANNOUNCED;
        start.announced = upload->announced;
    } else {
        start.message_case = WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_NEW_RECORD;
        start.new_record = upload->new_record;
    }
    unsigned made = 1; /* attempts since the last that brought something */
    for (bool broke = false;; broke = true, made++) {
        if ((asks || broke) && !find_offset(upload, arena, error)) {
            /* A service that had taken much is waited for longer: it may be starting again. */
            if (!upload->under_way || !prepare_again(upload, made, broke, error)) {
                return false;
            }
            continue;
        }
        if (upload->skip > upload->furthest) {
            upload->furthest = upload->skip;
            upload->under_way = true;
            made = 1;
        }
        set_offset(upload);
        if (upload_once(upload, &start, arena, record, error)) {
            return true;
        }
        upload->under_way |= upload->done > UNSENT_MOST_BYTES;
        if (!prepare_again(upload, made, broke, error)) {
            return false;
        }
    }
}

bool client_upload_new(struct waybill_client *client, Waybill__V1__NewRecordUpload *start, bool asks,
                       const struct waybill_source *source, const struct waybill_progress *progress,
                       struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    struct upload upload = {
        .client = client,
        .source = source,
        .progress = progress,
        .upload_id = start->request_id,
        .new_record = start,
    };
    return run_upload(&upload, asks && source->seek != NULL, arena, record, error);
}

bool waybill_upload_source(struct waybill_client *client, const char *upload_id, const struct waybill_source *source,
                           const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                           struct error *error) {
    Waybill__V1__AnnouncedUpload announced = WAYBILL__V1__ANNOUNCED_UPLOAD__INIT;
    announced.upload_id = client_text(upload_id);
    struct upload upload = {
        .client = client,
        .source = source,
        .progress = progress,
        .upload_id = upload_id,
        .announced = &announced,
    };
    return run_upload(&upload, true, arena, record, error);
}

bool waybill_upload_fd(struct waybill_client *client, const char *upload_id, int fd,
                       const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                       struct error *error) {
    struct client_fd_source source;
    return client_fd_source_init(&source, fd, error) &&
           waybill_upload_source(client, upload_id, &source.source, progress, arena, record, error);
}
