/* Writes: inline, streamed, announced, and without payload. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/checksum/crc32c.h"
#include "common/client/client_parts.h"
#include "common/client/client_upload.h"

/* ---- PutRecord ---- */

static void fill_request(const struct waybill_put *put, char *request_id, struct arena *arena,
                         Waybill__V1__PutRecordRequest *request) {
    request->bucket = client_text(put->bucket);
    request->key = client_text(put->key);
    request->content_type = client_text(put->content_type);
    request->n_attributes = put->attribute_count;
    request->attributes = client_attributes(put->attributes, put->attribute_count,
                                            &waybill__v1__put_record_request__attributes_entry__descriptor, arena);
    if (put->has_if_version_match) {
        request->has_if_version_match_case = WAYBILL__V1__PUT_RECORD_REQUEST__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        request->if_version_match = put->if_version_match;
    }
    request->request_id = request_id;
    request->reason = client_text(put->reason);
    if (put->payload_deadline_ms > 0) {
        request->payload_deadline = client_duration(put->payload_deadline_ms, arena);
    }
    request->expire_time = client_timestamp(put->expire_time, arena);
}

static Waybill__V1__PutRecordResponse *send_request(struct waybill_client *client,
                                                    const Waybill__V1__PutRecordRequest *request, struct arena *arena,
                                                    struct error *error) {
    Waybill__V1__PutRecordResponse *response = (Waybill__V1__PutRecordResponse *)client_call(
        client, client->metadata, "/waybill.v1.MetadataService/PutRecord", &request->base,
        &waybill__v1__put_record_response__descriptor, arena, error);
    if (response != NULL && response->record == NULL) {
        client_bad_answer(error, "holds no record");
        return NULL;
    }
    return response;
}

bool waybill_put_record(struct waybill_client *client, const struct waybill_put *put, struct arena *arena,
                        Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__PutRecordRequest request = WAYBILL__V1__PUT_RECORD_REQUEST__INIT;
    fill_request(put, client_request_id(put->request_id, id), arena, &request);
    Waybill__V1__PutRecordResponse *response = send_request(client, &request, arena, error);
    *record = response != NULL ? response->record : NULL;
    return response != NULL;
}

bool waybill_announce(struct waybill_client *client, const struct waybill_put *put,
                      const struct waybill_announcement *announcement, struct arena *arena,
                      Waybill__V1__PutRecordResponse **response, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__PayloadAnnouncement payload = WAYBILL__V1__PAYLOAD_ANNOUNCEMENT__INIT;
    if (announcement->size >= 0) {
        payload.has_size_case = WAYBILL__V1__PAYLOAD_ANNOUNCEMENT__HAS_SIZE_SIZE;
        payload.size = announcement->size;
    }
    if (announcement->has_crc32c) {
        payload.has_crc32c_case = WAYBILL__V1__PAYLOAD_ANNOUNCEMENT__HAS_CRC32C_CRC32C;
        payload.crc32c = announcement->crc32c;
    }
    Waybill__V1__PutRecordRequest request = WAYBILL__V1__PUT_RECORD_REQUEST__INIT;
    fill_request(put, client_request_id(put->request_id, id), arena, &request);
    request.payload_case = WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_ANNOUNCED_PAYLOAD;
    request.announced_payload = &payload;
    *response = send_request(client, &request, arena, error);
    return *response != NULL;
}

/* Puts short bytes inside the request. `too_large` tells that the bucket takes less inline. */
static bool put_inline(struct waybill_client *client, const struct waybill_put *put, struct bytes data,
                       const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                       bool *too_large, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__InlinePayload payload = WAYBILL__V1__INLINE_PAYLOAD__INIT;
    payload.data = (ProtobufCBinaryData){data.size, (uint8_t *)data.data};
    payload.has_crc32c_case = WAYBILL__V1__INLINE_PAYLOAD__HAS_CRC32C_CRC32C;
    payload.crc32c = crc32c(data);
    Waybill__V1__PutRecordRequest request = WAYBILL__V1__PUT_RECORD_REQUEST__INIT;
    fill_request(put, client_request_id(put->request_id, id), arena, &request);
    request.payload_case = WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_INLINE_PAYLOAD;
    request.inline_payload = &payload;
    Waybill__V1__PutRecordResponse *response = send_request(client, &request, arena, error);
    if (response == NULL) {
        *too_large = strcmp(error->reason, "INLINE_PAYLOAD_TOO_LARGE") == 0;
        return false;
    }
    if (progress != NULL) {
        progress->advance(progress->self, (int64_t)data.size, (int64_t)data.size);
    }
    *record = response->record;
    return true;
}

/* ---- UploadPayload ---- */

bool waybill_put_source(struct waybill_client *client, const struct waybill_put *put,
                        const struct waybill_source *source, const struct waybill_progress *progress,
                        struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    char id[UUID_TEXT_BYTES];
    Waybill__V1__NewRecordUpload start = WAYBILL__V1__NEW_RECORD_UPLOAD__INIT;
    start.bucket = client_text(put->bucket);
    start.key = client_text(put->key);
    start.content_type = client_text(put->content_type);
    start.n_attributes = put->attribute_count;
    start.attributes = client_attributes(put->attributes, put->attribute_count,
                                         &waybill__v1__new_record_upload__attributes_entry__descriptor, arena);
    if (source->size >= 0) {
        start.has_size_case = WAYBILL__V1__NEW_RECORD_UPLOAD__HAS_SIZE_SIZE;
        start.size = source->size;
    }
    if (put->has_if_version_match) {
        start.has_if_version_match_case = WAYBILL__V1__NEW_RECORD_UPLOAD__HAS_IF_VERSION_MATCH_IF_VERSION_MATCH;
        start.if_version_match = put->if_version_match;
    }
    start.request_id = client_request_id(put->request_id, id);
    start.reason = client_text(put->reason);
    if (put->payload_deadline_ms > 0) {
        start.payload_deadline = client_duration(put->payload_deadline_ms, arena);
    }
    start.expire_time = client_timestamp(put->expire_time, arena);
    bool repeated = put->request_id != NULL && put->request_id[0] != '\0';
    return client_upload_new(client, &start, repeated, source, progress, arena, record, error);
}

/* ---- bytes and files ---- */

struct memory_source {
    struct waybill_source source;
    struct bytes data;
    size_t offset;
};

static int64_t read_memory(void *self, void *out, size_t size, struct error *error) {
    (void)error;
    struct memory_source *memory = self;
    size_t left = memory->data.size - memory->offset;
    size_t take = left < size ? left : size;
    if (take > 0) {
        memcpy(out, memory->data.data + memory->offset, take);
    }
    memory->offset += take;
    return (int64_t)take;
}

static bool seek_memory(void *self, int64_t offset, struct error *error) {
    (void)error;
    struct memory_source *memory = self;
    memory->offset = (size_t)offset;
    return true;
}

bool waybill_put_bytes(struct waybill_client *client, const struct waybill_put *put, struct bytes data,
                       const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                       struct error *error) {
    bool too_large = data.size > WAYBILL_INLINE_MAX_BYTES;
    if (!too_large && put_inline(client, put, data, progress, arena, record, &too_large, error)) {
        return true;
    }
    if (!too_large) {
        return false;
    }
    struct memory_source memory = {.data = data};
    memory.source =
        (struct waybill_source){.read = read_memory, .seek = seek_memory, .size = (int64_t)data.size, .self = &memory};
    return waybill_put_source(client, put, &memory.source, progress, arena, record, error);
}

/* A file so short that it is better read at once. */
static bool put_small_file(struct waybill_client *client, const struct waybill_put *put,
                           const struct waybill_source *source, const struct waybill_progress *progress,
                           struct arena *arena, Waybill__V1__Record **record, struct error *error) {
    size_t room = (size_t)source->size + 1; /* one more shows whether it grew */
    uint8_t *data = arena_alloc(arena, room);
    int64_t got = source->read(source->self, data, room, error);
    if (got < 0) {
        return false;
    }
    if (got != source->size) {
        return error_set(error, ERROR_ABORTED, "SOURCE_CHANGED",
                         "the payload had %lld bytes and now has %s: put it again", (long long)source->size,
                         got < source->size ? "fewer" : "more");
    }
    return waybill_put_bytes(client, put, bytes_of(data, (size_t)got), progress, arena, record, error);
}

bool waybill_put_fd(struct waybill_client *client, const struct waybill_put *put, int fd,
                    const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                    struct error *error) {
    struct client_fd_source source;
    if (!client_fd_source_init(&source, fd, error)) {
        return false;
    }
    if (source.regular && source.source.size <= WAYBILL_INLINE_MAX_BYTES) {
        return put_small_file(client, put, &source.source, progress, arena, record, error);
    }
    return waybill_put_source(client, put, &source.source, progress, arena, record, error);
}

bool waybill_put_file(struct waybill_client *client, const struct waybill_put *put, const char *path,
                      const struct waybill_progress *progress, struct arena *arena, Waybill__V1__Record **record,
                      struct error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "opening %s", path);
    }
    bool ok = waybill_put_fd(client, put, fd, progress, arena, record, error);
    close(fd);
    return ok;
}
