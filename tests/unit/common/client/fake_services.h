/* Both services in one process and in memory, for tests of the client library and the command
 * line: they check what is sent, remember it, and fail when told to. */
#ifndef WAYBILL_TESTS_FAKE_SERVICES_H
#define WAYBILL_TESTS_FAKE_SERVICES_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/uuid.h"
#include "common/checksum/crc32c.h"
#include "common/rpc/proto_message.h"
#include "common/rpc/rpc_server.h"
#include "common/rpc/rpc_stream.h"
#include "waybill/v1/admin_service.pb-c.h"
#include "waybill/v1/metadata_service.pb-c.h"
#include "waybill/v1/object_service.pb-c.h"
#include "waybill/v1/payload_service.pb-c.h"

#define FAKE_METADATA "/waybill.v1.MetadataService/"
#define FAKE_PAYLOAD "/waybill.v1.PayloadService/"
#define FAKE_OBJECT "/waybill.v1.ObjectService/"

enum { FAKE_MOST = 128, FAKE_CHUNK_BYTES = 1 << 20, FAKE_PAGE = 100 };

/* One version of one key; also the event of its commit. */
struct fake_version {
    struct buffer record; /* packed Waybill__V1__Record */
    struct buffer payload;
    char upload_id[UUID_TEXT_BYTES]; /* while awaited */
    Waybill__V1__ChangeType type;
};

struct fake_services {
    struct rpc_server *server;
    char address[32];

    pthread_mutex_t lock;   /* all below */
    pthread_cond_t changed; /* stalled was set */
    struct buffer buckets[FAKE_MOST];
    unsigned bucket_count;
    struct fake_version versions[FAKE_MOST]; /* revision r is versions[r - 1] */
    unsigned version_count;
    struct rpc_stream *watchers[FAKE_MOST];

    /* What to do wrong. */
    const char *fail_path; /* the next fail_count calls of this method get fail_error */
    unsigned fail_count;
    struct error fail_error;
    int64_t fail_upload_at;      /* the upload breaks (UNAVAILABLE) once at this byte; -1: never */
    int64_t break_read_at;       /* the read breaks (UNAVAILABLE) once at this byte; -1: never */
    int64_t stall_read_at;       /* the read sends nothing from this byte on; -1: never */
    bool corrupt_chunk;          /* the next chunk has a wrong byte */
    bool corrupt_object;         /* and its CRC32C is of the wrong byte */
    bool short_object;           /* the last byte is missing */
    unsigned polls_until_stored; /* GetRecord answers STAGED so often */
    bool payloads_fail;          /* ... and then FAILED */
    unsigned watch_breaks_after; /* events; 0: never */
    int64_t persisted;           /* what QueryUpload answers; -1: UNIMPLEMENTED */

    /* What was seen. */
    char request_ids[FAKE_MOST][UUID_TEXT_BYTES];
    unsigned request_count;
    unsigned attempts; /* calls of fail_path */
    unsigned inline_puts, uploads;
    int64_t bytes_uploaded;
    bool stalled;
    int64_t watch_starts[FAKE_MOST];
    unsigned watch_count;
};

/* ---- helpers; the lock is held ---- */

static inline bool fake_fails(struct fake_services *fake, const char *path, struct error *error) {
    if (fake->fail_path == NULL || strcmp(fake->fail_path, path) != 0) {
        return false;
    }
    fake->attempts++;
    if (fake->fail_count == 0) {
        return false;
    }
    fake->fail_count--;
    *error = fake->fail_error;
    return true;
}

static inline void fake_saw_request(struct fake_services *fake, const char *id) {
    cr_assert_lt(fake->request_count, FAKE_MOST);
    snprintf(fake->request_ids[fake->request_count++], UUID_TEXT_BYTES, "%s", id);
}

static inline void fake_pack(struct buffer *out, const void *message) {
    buffer_clear(out);
    out->size += protobuf_c_message_pack(message, buffer_reserve(out, protobuf_c_message_get_packed_size(message)));
}

static inline Waybill__V1__Record *fake_unpack(const struct buffer *packed, struct arena *arena) {
    return waybill__v1__record__unpack(arena_protobuf(arena), packed->size, packed->data);
}

static inline bool fake_has_bucket(struct fake_services *fake, const char *name, struct arena *arena,
                                   Waybill__V1__Bucket **bucket, struct error *error) {
    for (unsigned i = 0; i < fake->bucket_count; i++) {
        *bucket = waybill__v1__bucket__unpack(arena_protobuf(arena), fake->buckets[i].size, fake->buckets[i].data);
        if (strcmp((*bucket)->name, name) == 0) {
            return true;
        }
    }
    return error_set(error, ERROR_NOT_FOUND, "BUCKET_NOT_FOUND", "there is no bucket \"%s\"", name);
}

/* The key's version (0: latest); NULL where there is none. */
static inline struct fake_version *fake_find(struct fake_services *fake, const char *bucket, const char *key,
                                             int64_t version, struct arena *arena, Waybill__V1__Record **record) {
    for (unsigned i = fake->version_count; i > 0; i--) {
        *record = fake_unpack(&fake->versions[i - 1].record, arena);
        if (strcmp((*record)->bucket, bucket) == 0 && strcmp((*record)->key, key) == 0 &&
            (version == 0 || (*record)->version == version)) {
            return &fake->versions[i - 1];
        }
    }
    return NULL;
}

/* Commits the record as the key's next version. */
static inline struct fake_version *fake_commit(struct fake_services *fake, Waybill__V1__Record *record,
                                               Waybill__V1__ChangeType type, bool has_if_version, int64_t if_version,
                                               struct arena *arena, struct error *error) {
    Waybill__V1__Bucket *bucket = NULL;
    Waybill__V1__Record *before;
    if (!fake_has_bucket(fake, record->bucket, arena, &bucket, error)) {
        return NULL;
    }
    int64_t latest = fake_find(fake, record->bucket, record->key, 0, arena, &before) != NULL ? before->version : 0;
    if (has_if_version && if_version != latest) {
        error_set(error, ERROR_ABORTED, "VERSION_MISMATCH", "the record is at version %lld", (long long)latest);
        error_set_detail(error, "current_version", "%lld", (long long)latest);
        return NULL;
    }
    cr_assert_lt(fake->version_count, FAKE_MOST);
    struct fake_version *made = &fake->versions[fake->version_count++];
    record->version = latest + 1;
    record->revision = fake->version_count;
    record->serving_version = record->version;
    made->type = type;
    fake_pack(&made->record, record);
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        if (fake->watchers[i] != NULL) {
            rpc_stream_wake(fake->watchers[i]);
        }
    }
    return made;
}

static inline void fake_set_payload(struct fake_version *version, struct bytes payload, struct arena *arena) {
    buffer_clear(&version->payload);
    buffer_append_bytes(&version->payload, payload);
    Waybill__V1__Record *record = fake_unpack(&version->record, arena);
    record->state = WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED;
    record->has_size_case = WAYBILL__V1__RECORD__HAS_SIZE_SIZE;
    record->size = (int64_t)payload.size;
    record->has_crc32c_case = WAYBILL__V1__RECORD__HAS_CRC32C_CRC32C;
    record->crc32c = crc32c(payload);
    fake_pack(&version->record, record);
}

/* Attribute entries look the same in all messages. */
static inline void fake_copy_attributes(Waybill__V1__Record *record, size_t count, void *entries, struct arena *arena) {
    Waybill__V1__PutRecordRequest__AttributesEntry **from = entries;
    record->n_attributes = count;
    record->attributes = arena_alloc(arena, count * sizeof *record->attributes);
    for (size_t i = 0; i < count; i++) {
        record->attributes[i] = arena_alloc(arena, sizeof **record->attributes);
        waybill__v1__record__attributes_entry__init(record->attributes[i]);
        record->attributes[i]->key = from[i]->key;
        record->attributes[i]->value = from[i]->value;
    }
}

static inline void fake_answer(struct fake_services *fake, struct rpc_call *call, const void *response,
                               const struct error *error) {
    pthread_mutex_unlock(&fake->lock);
    if (response != NULL) {
        rpc_call_reply(call, response);
    } else {
        rpc_call_fail(call, error);
    }
}

/* ---- buckets and status ---- */

static void fake_create_bucket(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    Waybill__V1__CreateBucketRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__create_bucket_request__descriptor);
    Waybill__V1__Bucket *there = NULL;
    Waybill__V1__CreateBucketResponse response = WAYBILL__V1__CREATE_BUCKET_RESPONSE__INIT;
    pthread_mutex_lock(&fake->lock);
    fake_saw_request(fake, request->request_id);
    bool fails = fake_fails(fake, FAKE_METADATA "CreateBucket", &error);
    if (!fails && fake_has_bucket(fake, request->bucket->name, rpc_call_arena(call), &there, &error)) {
        fails = true;
        error_set(&error, ERROR_ALREADY_EXISTS, "BUCKET_EXISTS", "there is a bucket \"%s\"", there->name);
    }
    if (!fails) {
        fake_pack(&fake->buckets[fake->bucket_count++], request->bucket);
        response.bucket = request->bucket;
    }
    fake_answer(fake, call, fails ? NULL : &response, &error);
}

static void fake_get_bucket(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    Waybill__V1__GetBucketRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__get_bucket_request__descriptor);
    Waybill__V1__GetBucketResponse response = WAYBILL__V1__GET_BUCKET_RESPONSE__INIT;
    pthread_mutex_lock(&fake->lock);
    bool ok = !fake_fails(fake, FAKE_METADATA "GetBucket", &error) &&
              fake_has_bucket(fake, request->name, rpc_call_arena(call), &response.bucket, &error);
    fake_answer(fake, call, ok ? &response : NULL, &error);
}

/* Pages by number: the token is where the next begins. */
static void fake_list_buckets(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__ListBucketsRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__list_buckets_request__descriptor);
    Waybill__V1__ListBucketsResponse response = WAYBILL__V1__LIST_BUCKETS_RESPONSE__INIT;
    Waybill__V1__Bucket *page[FAKE_MOST];
    pthread_mutex_lock(&fake->lock);
    unsigned most = request->page_size > 0 ? (unsigned)request->page_size : FAKE_PAGE;
    unsigned at = (unsigned)atoi(request->page_token);
    for (; at < fake->bucket_count && response.n_buckets < most; at++) {
        page[response.n_buckets++] =
            waybill__v1__bucket__unpack(arena_protobuf(arena), fake->buckets[at].size, fake->buckets[at].data);
    }
    response.buckets = page;
    response.next_page_token = at < fake->bucket_count ? arena_printf(arena, "%u", at) : (char *)"";
    fake_answer(fake, call, &response, NULL);
}

static void fake_get_status(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    rpc_call_decode(call, &waybill__v1__get_status_request__descriptor);
    struct error error = {0};
    Waybill__V1__MetadataStatus metadata = WAYBILL__V1__METADATA_STATUS__INIT;
    Waybill__V1__GetStatusResponse response = WAYBILL__V1__GET_STATUS_RESPONSE__INIT;
    response.version = "fake";
    response.service_case = WAYBILL__V1__GET_STATUS_RESPONSE__SERVICE_METADATA;
    response.metadata = &metadata;
    pthread_mutex_lock(&fake->lock);
    metadata.shard = "0";
    metadata.committed_revision = fake->version_count;
    bool fails = fake_fails(fake, "/waybill.v1.AdminService/GetStatus", &error);
    fake_answer(fake, call, fails ? NULL : &response, &error);
}

/* ---- records ---- */

static struct fake_version *fake_take_put(struct fake_services *fake, Waybill__V1__PutRecordRequest *request,
                                          struct arena *arena, struct error *error) {
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    Waybill__V1__Bucket *bucket = NULL;
    bool has_inline = request->payload_case == WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_INLINE_PAYLOAD;
    bool announced = request->payload_case == WAYBILL__V1__PUT_RECORD_REQUEST__PAYLOAD_ANNOUNCED_PAYLOAD;
    if (!fake_has_bucket(fake, request->bucket, arena, &bucket, error)) {
        return NULL;
    }
    int64_t most = bucket->has_inline_max_bytes_case != 0 ? bucket->inline_max_bytes : 65536;
    if (has_inline && (int64_t)request->inline_payload->data.len > most) {
        error_set_field(error, "inline_payload.data", "INLINE_PAYLOAD_TOO_LARGE", "too large");
        return NULL;
    }
    record.bucket = request->bucket;
    record.key = request->key;
    record.content_type = request->content_type;
    record.state = announced ? WAYBILL__V1__RECORD_STATE__RECORD_STATE_AWAITING_PAYLOAD
                             : WAYBILL__V1__RECORD_STATE__RECORD_STATE_COMMITTED;
    fake_copy_attributes(&record, request->n_attributes, request->attributes, arena);
    struct fake_version *made =
        fake_commit(fake, &record, WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_COMMITTED,
                    request->has_if_version_match_case != 0, request->if_version_match, arena, error);
    if (made != NULL && has_inline) {
        const Waybill__V1__InlinePayload *payload = request->inline_payload;
        fake->inline_puts++;
        cr_assert_eq(payload->crc32c, crc32c(bytes_of(payload->data.data, payload->data.len)));
        fake_set_payload(made, bytes_of(payload->data.data, payload->data.len), arena);
    } else if (made != NULL && announced) {
        struct uuid id = uuid_make();
        uuid_print(&id, made->upload_id);
    }
    return made;
}

static void fake_put_record(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__PutRecordRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__put_record_request__descriptor);
    Waybill__V1__PutRecordResponse response = WAYBILL__V1__PUT_RECORD_RESPONSE__INIT;
    pthread_mutex_lock(&fake->lock);
    fake_saw_request(fake, request->request_id);
    struct fake_version *made =
        fake_fails(fake, FAKE_METADATA "PutRecord", &error) ? NULL : fake_take_put(fake, request, arena, &error);
    if (made != NULL) {
        response.record = fake_unpack(&made->record, arena);
        response.upload_id = made->upload_id;
    }
    fake_answer(fake, call, made != NULL ? &response : NULL, &error);
}

static void fake_get_record(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    Waybill__V1__GetRecordRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__get_record_request__descriptor);
    Waybill__V1__GetRecordResponse response = WAYBILL__V1__GET_RECORD_RESPONSE__INIT;
    pthread_mutex_lock(&fake->lock);
    bool found = !fake_fails(fake, FAKE_METADATA "GetRecord", &error) &&
                 fake_find(fake, request->bucket, request->key, request->version, rpc_call_arena(call),
                           &response.record) != NULL;
    if (!found && error.code == ERROR_OK) {
        error_set(&error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND", "there is no record \"%s\"", request->key);
    } else if (found && response.record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED &&
               !request->show_deleted) {
        found = error_set(&error, ERROR_NOT_FOUND, "RECORD_DELETED", "the record was deleted");
    }
    if (found && response.record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED) {
        if (fake->polls_until_stored > 0) {
            fake->polls_until_stored--;
        } else {
            response.record->state = fake->payloads_fail ? WAYBILL__V1__RECORD_STATE__RECORD_STATE_FAILED
                                                         : WAYBILL__V1__RECORD_STATE__RECORD_STATE_STORED;
        }
    }
    fake_answer(fake, call, found ? &response : NULL, &error);
}

static void fake_delete_record(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__DeleteRecordRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__delete_record_request__descriptor);
    Waybill__V1__DeleteRecordResponse response = WAYBILL__V1__DELETE_RECORD_RESPONSE__INIT;
    Waybill__V1__Record *before;
    struct fake_version *made = NULL;
    pthread_mutex_lock(&fake->lock);
    fake_saw_request(fake, request->request_id);
    if (fake_fails(fake, FAKE_METADATA "DeleteRecord", &error)) {
        made = NULL;
    } else if (fake_find(fake, request->bucket, request->key, 0, arena, &before) == NULL) {
        error_set(&error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND", "there is no record \"%s\"", request->key);
    } else {
        Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
        record.bucket = request->bucket;
        record.key = request->key;
        record.state = WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED;
        made = fake_commit(fake, &record, WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_DELETED,
                           request->has_if_version_match_case != 0, request->if_version_match, arena, &error);
        response.record = made != NULL ? fake_unpack(&made->record, arena) : NULL;
    }
    fake_answer(fake, call, made != NULL ? &response : NULL, &error);
}

/* Lists in the order of commit, which tests make that of the keys. */
static void fake_list_records(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    struct arena *arena = rpc_call_arena(call);
    Waybill__V1__ListRecordsRequest *request =
        (void *)rpc_call_decode(call, &waybill__v1__list_records_request__descriptor);
    Waybill__V1__ListRecordsResponse response = WAYBILL__V1__LIST_RECORDS_RESPONSE__INIT;
    Waybill__V1__Record *page[FAKE_MOST];
    Waybill__V1__Bucket *bucket = NULL;
    Waybill__V1__Record *latest;
    pthread_mutex_lock(&fake->lock);
    bool ok = !fake_fails(fake, FAKE_METADATA "ListRecords", &error) &&
              fake_has_bucket(fake, request->bucket, arena, &bucket, &error);
    unsigned most = request->page_size > 0 ? (unsigned)request->page_size : FAKE_PAGE;
    unsigned at = (unsigned)atoi(request->page_token);
    for (; ok && at < fake->version_count && response.n_records < most; at++) {
        Waybill__V1__Record *record = fake_unpack(&fake->versions[at].record, arena);
        bool shown = request->show_deleted || record->state != WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED;
        if (shown && strcmp(record->bucket, request->bucket) == 0 &&
            strncmp(record->key, request->prefix, strlen(request->prefix)) == 0 &&
            fake_find(fake, record->bucket, record->key, 0, arena, &latest) == &fake->versions[at]) {
            page[response.n_records++] = record;
        }
    }
    response.records = page;
    response.next_page_token = at < fake->version_count ? arena_printf(arena, "%u", at) : (char *)"";
    fake_answer(fake, call, ok ? &response : NULL, &error);
}

/* ---- uploads ---- */

static void fake_query_upload(void *service, struct rpc_call *call) {
    struct fake_services *fake = service;
    struct error error = {0};
    rpc_call_decode(call, &waybill__v1__query_upload_request__descriptor);
    Waybill__V1__QueryUploadResponse response = WAYBILL__V1__QUERY_UPLOAD_RESPONSE__INIT;
    pthread_mutex_lock(&fake->lock);
    response.persisted_size = fake->persisted;
    bool ok = fake->persisted >= 0 || error_set(&error, ERROR_UNIMPLEMENTED, "NOT_SERVED_YET", "not yet");
    fake_answer(fake, call, ok ? &response : NULL, &error);
}

/* Reads the chunks and the finish into `payload`. */
static bool fake_receive(struct fake_services *fake, struct rpc_stream *stream, struct arena *arena,
                         struct buffer *payload, struct error *error) {
    struct bytes wire;
    while (rpc_stream_read(stream, &wire, error) == RPC_READ_MESSAGE) {
        Waybill__V1__UploadPayloadRequest *message =
            (void *)proto_decode(&waybill__v1__upload_payload_request__descriptor, wire, arena, error);
        cr_assert_not_null(message);
        if (message->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_FINISH) {
            uint32_t crc = crc32c(buffer_bytes(payload));
            cr_assert_eq(message->finish->has_crc32c_case, WAYBILL__V1__FINISH_UPLOAD__HAS_CRC32C_CRC32C);
            return message->finish->crc32c == crc ||
                   error_set(error, ERROR_INVALID_ARGUMENT, "CHECKSUM_MISMATCH", "the whole is %08x", crc);
        }
        cr_assert_eq(message->message_case, WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_CHUNK);
        struct bytes data = bytes_of(message->chunk->data.data, message->chunk->data.len);
        cr_assert(data.size > 0 && data.size <= FAKE_CHUNK_BYTES);
        cr_assert_eq(message->chunk->has_crc32c_case, WAYBILL__V1__PAYLOAD_CHUNK__HAS_CRC32C_CRC32C);
        cr_assert_eq(message->chunk->crc32c, crc32c(data));
        buffer_append_bytes(payload, data);
        pthread_mutex_lock(&fake->lock);
        fake->bytes_uploaded += (int64_t)data.size;
        bool breaks = fake->fail_upload_at >= 0 && (int64_t)payload->size >= fake->fail_upload_at;
        fake->fail_upload_at = breaks ? -1 : fake->fail_upload_at;
        pthread_mutex_unlock(&fake->lock);
        if (breaks) {
            return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the upload is broken on purpose");
        }
    }
    return error_set(error, ERROR_CANCELLED, "UPLOAD_ABORTED", "no finish came");
}

static struct fake_version *fake_take_upload(struct fake_services *fake, Waybill__V1__UploadPayloadRequest *start,
                                             struct bytes payload, struct arena *arena, struct error *error) {
    if (start->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_ANNOUNCED) {
        for (unsigned i = 0; i < fake->version_count; i++) {
            if (strcmp(fake->versions[i].upload_id, start->announced->upload_id) == 0) {
                fake_set_payload(&fake->versions[i], payload, arena);
                return &fake->versions[i];
            }
        }
        error_set(error, ERROR_NOT_FOUND, "UPLOAD_NOT_FOUND", "no upload of that id is awaited");
        return NULL;
    }
    Waybill__V1__NewRecordUpload *new_record = start->new_record;
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.bucket = new_record->bucket;
    record.key = new_record->key;
    record.content_type = new_record->content_type;
    fake_copy_attributes(&record, new_record->n_attributes, new_record->attributes, arena);
    if (new_record->has_size_case != 0) {
        cr_assert_eq(new_record->size, (int64_t)payload.size);
    }
    struct fake_version *made =
        fake_commit(fake, &record, WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED,
                    new_record->has_if_version_match_case != 0, new_record->if_version_match, arena, error);
    if (made != NULL) {
        fake_set_payload(made, payload, arena);
    }
    return made;
}

static void fake_upload_payload(void *service, struct rpc_stream *stream) {
    struct fake_services *fake = service;
    struct error error = {0};
    struct arena arena;
    struct buffer payload = {0};
    struct bytes wire;
    arena_init(&arena);
    Waybill__V1__UploadPayloadRequest *start = NULL;
    if (rpc_stream_read(stream, &wire, &error) == RPC_READ_MESSAGE) {
        start = (void *)proto_decode(&waybill__v1__upload_payload_request__descriptor, wire, &arena, &error);
    }
    if (start == NULL) { /* the client gave the call up at once */
        rpc_stream_finish(stream, &error);
        arena_free(&arena);
        return;
    }
    pthread_mutex_lock(&fake->lock);
    fake->uploads++;
    bool ok = !fake_fails(fake, FAKE_PAYLOAD "UploadPayload", &error);
    bool is_new = start->message_case == WAYBILL__V1__UPLOAD_PAYLOAD_REQUEST__MESSAGE_NEW_RECORD;
    int64_t offset = is_new ? start->new_record->write_offset : start->announced->write_offset;
    if (is_new) {
        fake_saw_request(fake, start->new_record->request_id);
    }
    /* The payload of these tests: its byte n is n. */
    for (int64_t i = 0; i < offset; i++) {
        buffer_append_u8(&payload, (uint8_t)i);
    }
    pthread_mutex_unlock(&fake->lock);
    ok = ok && fake_receive(fake, stream, &arena, &payload, &error);
    if (ok) {
        Waybill__V1__UploadPayloadResponse response = WAYBILL__V1__UPLOAD_PAYLOAD_RESPONSE__INIT;
        pthread_mutex_lock(&fake->lock);
        struct fake_version *made = fake_take_upload(fake, start, buffer_bytes(&payload), &arena, &error);
        response.record = made != NULL ? fake_unpack(&made->record, &arena) : NULL;
        ok = made != NULL;
        pthread_mutex_unlock(&fake->lock);
        if (ok) {
            rpc_stream_write(stream, &response.base);
        }
    }
    rpc_stream_finish(stream, ok ? NULL : &error);
    buffer_free(&payload);
    arena_free(&arena);
}

/* ---- reads ---- */

static bool fake_send_object(struct fake_services *fake, struct rpc_stream *stream, Waybill__V1__Record *record,
                             uint8_t *data, int64_t at, int64_t end, struct error *error) {
    bool first = true;
    do {
        pthread_mutex_lock(&fake->lock);
        bool breaks = fake->break_read_at >= 0 && at >= fake->break_read_at;
        bool corrupt = fake->corrupt_chunk && at < end;
        fake->break_read_at = breaks ? -1 : fake->break_read_at;
        fake->corrupt_chunk = corrupt ? false : fake->corrupt_chunk;
        bool whole_corrupt = fake->corrupt_object;
        bool stalls = fake->stall_read_at >= 0 && at >= fake->stall_read_at;
        fake->stalled |= stalls;
        pthread_cond_broadcast(&fake->changed);
        pthread_mutex_unlock(&fake->lock);
        while (stalls && rpc_stream_wait(stream, 60000)) {
        }
        if (breaks) {
            return error_set(error, ERROR_UNAVAILABLE, "DRAINING", "the read is broken on purpose");
        }
        int64_t size = end - at < FAKE_CHUNK_BYTES ? end - at : FAKE_CHUNK_BYTES;
        Waybill__V1__ReadObjectResponse response = WAYBILL__V1__READ_OBJECT_RESPONSE__INIT;
        response.record = first ? record : NULL;
        response.source = first ? WAYBILL__V1__READ_SOURCE__READ_SOURCE_HOT : 0;
        response.data = (ProtobufCBinaryData){(size_t)size, data + at};
        response.has_crc32c_case = WAYBILL__V1__READ_OBJECT_RESPONSE__HAS_CRC32C_CRC32C;
        response.crc32c = crc32c(bytes_of(data + at, (size_t)size));
        if (corrupt) {
            data[at] ^= 1;
            response.crc32c = whole_corrupt ? crc32c(bytes_of(data + at, (size_t)size)) : response.crc32c;
        }
        if (!rpc_stream_write(stream, &response.base)) {
            return error_set(error, ERROR_CANCELLED, "READ_CANCELLED", "the client went away");
        }
        first = false;
        at += size;
    } while (at < end);
    return true;
}

static bool fake_serve_read(struct fake_services *fake, struct rpc_stream *stream, struct arena *arena,
                            struct error *error) {
    struct bytes wire;
    if (rpc_stream_read(stream, &wire, error) != RPC_READ_MESSAGE) {
        return false;
    }
    Waybill__V1__ReadObjectRequest *request =
        (void *)proto_decode(&waybill__v1__read_object_request__descriptor, wire, arena, error);
    Waybill__V1__Record *record;
    struct bytes data = {0};
    pthread_mutex_lock(&fake->lock);
    bool ok = !fake_fails(fake, FAKE_OBJECT "ReadObject", error);
    struct fake_version *found =
        ok ? fake_find(fake, request->bucket, request->key, request->version, arena, &record) : NULL;
    if (ok && found == NULL) {
        ok = error_set(error, ERROR_NOT_FOUND, "RECORD_NOT_FOUND", "there is no record \"%s\"", request->key);
    } else if (ok) {
        data = arena_copy(arena, buffer_bytes(&found->payload));
    }
    bool is_short = fake->short_object;
    pthread_mutex_unlock(&fake->lock);
    if (!ok) {
        return false;
    }
    int64_t size = (int64_t)data.size;
    int64_t at = request->read_offset < 0 ? size + request->read_offset : request->read_offset;
    at = at < 0 ? 0 : at;
    if (at > size) {
        return error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the object has %lld bytes", (long long)size);
    }
    int64_t end = request->read_limit > 0 && request->read_limit < size - at ? at + request->read_limit : size;
    return fake_send_object(fake, stream, record, (uint8_t *)data.data, at, is_short ? end - 1 : end, error);
}

static void fake_read_object(void *service, struct rpc_stream *stream) {
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    bool ok = fake_serve_read(service, stream, &arena, &error);
    rpc_stream_finish(stream, ok ? NULL : &error);
    arena_free(&arena);
}

/* ---- watches ---- */

static bool fake_send_event(struct rpc_stream *stream, const struct fake_version *version) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__ChangeEvent event = WAYBILL__V1__CHANGE_EVENT__INIT;
    event.record = fake_unpack(&version->record, &arena);
    event.revision = event.record->revision;
    event.type = version->type;
    event.shard = "0";
    Waybill__V1__WatchChangesResponse item = WAYBILL__V1__WATCH_CHANGES_RESPONSE__INIT;
    item.item_case = WAYBILL__V1__WATCH_CHANGES_RESPONSE__ITEM_EVENT;
    item.event = &event;
    bool sent = rpc_stream_write(stream, &item.base);
    arena_free(&arena);
    return sent;
}

static void fake_watch_changes(void *service, struct rpc_stream *stream) {
    struct fake_services *fake = service;
    struct error error = {0};
    struct arena arena;
    struct bytes wire;
    arena_init(&arena);
    cr_assert_eq(rpc_stream_read(stream, &wire, &error), RPC_READ_MESSAGE);
    Waybill__V1__WatchChangesRequest *request =
        (void *)proto_decode(&waybill__v1__watch_changes_request__descriptor, wire, &arena, &error);
    pthread_mutex_lock(&fake->lock);
    bool fails = fake_fails(fake, FAKE_METADATA "WatchChanges", &error);
    unsigned me = fake->watch_count++;
    fake->watch_starts[me] = request->start_revision;
    fake->watchers[me] = stream;
    unsigned next = request->start_revision > 0 ? (unsigned)request->start_revision - 1 : fake->version_count;
    unsigned sent = 0;
    while (!fails) {
        while (next < fake->version_count && !fails) {
            if (fake->watch_breaks_after > 0 && sent == fake->watch_breaks_after) {
                fails = true;
                error_set(&error, ERROR_UNAVAILABLE, "DRAINING", "the watch is broken on purpose");
                break;
            }
            sent++;
            fails = !fake_send_event(stream, &fake->versions[next++]);
        }
        if (!fails) {
            pthread_mutex_unlock(&fake->lock);
            bool more = rpc_stream_wait(stream, 60000);
            pthread_mutex_lock(&fake->lock);
            fails = !more;
        }
    }
    fake->watchers[me] = NULL;
    pthread_mutex_unlock(&fake->lock);
    rpc_stream_finish(stream, &error);
    arena_free(&arena);
}

/* ---- life ---- */

static inline struct fake_services *fake_services_start(void) {
    static const struct rpc_server_options options = {
        .name = "fake",
        .listen = "127.0.0.1:0",
        .queue_threads = 1,
        .blocking_threads = 4,
        .max_waiting = 64,
        .max_unary_in_flight = 1024,
        .max_streams = 16,
        .max_message_bytes = 4 << 20,
    };
    static const struct {
        const char *path;
        rpc_unary_handler *handler;
    } unary[] = {
        {FAKE_METADATA "CreateBucket", fake_create_bucket},
        {FAKE_METADATA "GetBucket", fake_get_bucket},
        {FAKE_METADATA "ListBuckets", fake_list_buckets},
        {FAKE_METADATA "PutRecord", fake_put_record},
        {FAKE_METADATA "GetRecord", fake_get_record},
        {FAKE_METADATA "DeleteRecord", fake_delete_record},
        {FAKE_METADATA "ListRecords", fake_list_records},
        {FAKE_PAYLOAD "QueryUpload", fake_query_upload},
        {"/waybill.v1.AdminService/GetStatus", fake_get_status},
    };
    struct fake_services *fake = calloc(1, sizeof *fake);
    fake->fail_upload_at = fake->break_read_at = fake->stall_read_at = -1;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    fake->server = rpc_server_new(&options);
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
        rpc_server_add_unary(fake->server, unary[i].path, RPC_BLOCKING, unary[i].handler, fake);
    }
    rpc_server_add_stream(fake->server, FAKE_PAYLOAD "UploadPayload", fake_upload_payload, fake);
    rpc_server_add_stream(fake->server, FAKE_OBJECT "ReadObject", fake_read_object, fake);
    rpc_server_add_stream(fake->server, FAKE_METADATA "WatchChanges", fake_watch_changes, fake);
    struct error error = {0};
    cr_assert(rpc_server_start(fake->server, &error), "%s", error.message);
    snprintf(fake->address, sizeof fake->address, "127.0.0.1:%d", rpc_server_port(fake->server));
    return fake;
}

static inline void fake_services_stop(struct fake_services *fake) {
    rpc_server_drain(fake->server, 5000);
    rpc_server_free(fake->server);
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        buffer_free(&fake->buckets[i]);
        buffer_free(&fake->versions[i].record);
        buffer_free(&fake->versions[i].payload);
    }
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

/* Fields of the services that are being watched or changed while they run. */
#define fake_set(fake_, member_, value_)                                                                               \
    do {                                                                                                               \
        pthread_mutex_lock(&(fake_)->lock);                                                                            \
        (fake_)->member_ = (value_);                                                                                   \
        pthread_mutex_unlock(&(fake_)->lock);                                                                          \
    } while (0)
#define fake_get(fake_, member_)                                                                                       \
    __extension__({                                                                                                    \
        pthread_mutex_lock(&(fake_)->lock);                                                                            \
        __typeof__((fake_)->member_) got_ = (fake_)->member_;                                                          \
        pthread_mutex_unlock(&(fake_)->lock);                                                                          \
        got_;                                                                                                          \
    })

/* The request id of the n-th write. */
__attribute__((unused)) static const char *fake_request_id(struct fake_services *fake, unsigned n) {
    cr_assert_lt(n, fake_get(fake, request_count));
    return fake->request_ids[n];
}

/* A bucket that is there from the start; inline_max -1: the default. */
__attribute__((unused)) static void fake_add_bucket(struct fake_services *fake, const char *name, int64_t inline_max) {
    Waybill__V1__Bucket bucket = WAYBILL__V1__BUCKET__INIT;
    bucket.name = (char *)name;
    if (inline_max >= 0) {
        bucket.has_inline_max_bytes_case = WAYBILL__V1__BUCKET__HAS_INLINE_MAX_BYTES_INLINE_MAX_BYTES;
        bucket.inline_max_bytes = inline_max;
    }
    pthread_mutex_lock(&fake->lock);
    fake_pack(&fake->buckets[fake->bucket_count++], &bucket);
    pthread_mutex_unlock(&fake->lock);
}

/* A record with a payload that is there from the start. */
__attribute__((unused)) static void fake_add_object(struct fake_services *fake, const char *bucket, const char *key,
                                                    struct bytes payload) {
    struct arena arena;
    struct error error = {0};
    arena_init(&arena);
    Waybill__V1__Record record = WAYBILL__V1__RECORD__INIT;
    record.bucket = (char *)bucket;
    record.key = (char *)key;
    pthread_mutex_lock(&fake->lock);
    struct fake_version *made =
        fake_commit(fake, &record, WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_STAGED, false, 0, &arena, &error);
    cr_assert_not_null(made, "%s", error.message);
    fake_set_payload(made, payload, &arena);
    pthread_mutex_unlock(&fake->lock);
    arena_free(&arena);
}

/* The next `count` calls of the method fail. */
__attribute__((unused)) static void fake_fail(struct fake_services *fake, const char *path, unsigned count,
                                              enum error_code code, const char *reason) {
    pthread_mutex_lock(&fake->lock);
    fake->fail_path = path;
    fake->fail_count = count;
    error_set(&fake->fail_error, code, reason, "on purpose");
    pthread_mutex_unlock(&fake->lock);
}

#endif
