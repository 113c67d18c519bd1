/* Uploads: small pieces are gathered, so that they neither cost a write nor a frame each; large
 * ones are written as they come. */
#include <assert.h>
#include <string.h>

#include "common/base/bucket_share.h"
#include "common/base/failpoint.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

enum {
    GATHER_BYTES = 256 * 1024,
    DIRECT_BYTES = 64 * 1024, /* a piece this long is not copied */
};

struct payload_upload {
    struct payload_spool *spool;
    struct payload *payload;
    struct buffer names;  /* of the BEGIN frame; empty once that is written */
    struct buffer gather; /* appended, not yet written */
    bool broken;          /* an append or a finish failed: what was written and what not is not followed */
    uint64_t written_bytes;
    uint64_t size_bytes;
    uint32_t crc32c;
};

/* ---- begin ---- */

/* With the lock held. */
static bool is_over_share(const struct payload_spool *spool, uint64_t bucket_key) {
    return fair_share_ask(spool->bucket_bytes, bucket_key) == FAIR_OVER_SHARE;
}

bool spool_check_share(struct payload_spool *spool, const char *bucket, struct error *error) {
    uint64_t bucket_key = fair_share_key(bytes_of_string(bucket));
    if (is_over_share(spool, bucket_key)) {
        payload_drop_released(spool);
    }
    while (is_over_share(spool, bucket_key) && partial_give_up_oldest_of(spool, bucket_key)) {
    }
    return !is_over_share(spool, bucket_key) || bucket_share_refuse(bucket, "payload spool", error);
}

static bool is_full(const struct payload_spool *spool) {
    return spool->live_payloads >= spool->options.max_payloads || !segments_have_room(spool);
}

bool spool_takes_payload(struct payload_spool *spool) {
    if (is_full(spool)) {
        payload_drop_released(spool);
    }
    while (is_full(spool) && partial_give_up_oldest(spool)) {
    }
    return !is_full(spool);
}

/* With the lock held. */
static bool check_id(struct payload_spool *spool, const struct uuid *id, const char *bucket, struct error *error) {
    const struct payload *there = payload_find(spool, id);
    if (there != NULL && there->released) {
        payload_drop_released(spool);
        there = payload_find(spool, id);
    }
    if (spool->failed) {
        return spool_set_read_only(error);
    }
    if (there != NULL && there->complete) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_SPOOLED", "the payload was uploaded already");
    }
    if (there != NULL) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "UPLOAD_IN_PROGRESS",
                         "the payload is being uploaded already");
    }
    return (spool_takes_payload(spool) || spool_set_full(spool, error)) && spool_check_share(spool, bucket, error);
}

struct payload *payload_begin(struct payload_spool *spool, const struct uuid *id, const char *bucket, const char *key) {
    struct bytes bucket_text = bytes_of_string(bucket);
    struct bytes key_text = bytes_of_string(key);
    assert(bucket_text.size <= NAME_BUCKET_MAX_BYTES && key_text.size <= NAME_KEY_MAX_BYTES);
    struct payload *payload = payload_add(spool, id, spool->next_upload++);
    payload_name(payload, bucket_text, key_text, clock_unix_us(spool->clock));
    payload->uses++;
    return payload;
}

static void append_names(struct buffer *names, const struct payload *payload) {
    buffer_append(names, payload->bucket, strlen(payload->bucket) + 1);
    buffer_append(names, payload->key, strlen(payload->key) + 1);
    if (!uuid_is_zero(&payload->upload_id)) {
        buffer_append(names, payload->upload_id.raw, sizeof payload->upload_id.raw);
    }
}

struct payload_upload *payload_upload_new(struct payload_spool *spool, struct payload *payload, bool begun,
                                          uint32_t crc32c) {
    struct payload_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL) {
        abort();
    }
    upload->spool = spool;
    upload->payload = payload;
    upload->written_bytes = payload->spooled_bytes;
    upload->size_bytes = payload->spooled_bytes;
    upload->crc32c = crc32c;
    if (!begun) {
        append_names(&upload->names, payload);
    }
    return upload;
}

struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error) {
    struct payload *payload = NULL;
    pthread_mutex_lock(&spool->lock);
    if (check_id(spool, payload_id, bucket, error)) {
        payload = payload_begin(spool, payload_id, bucket, key);
    }
    pthread_mutex_unlock(&spool->lock);
    return payload != NULL ? payload_upload_new(spool, payload, false, 0) : NULL;
}

/* ---- bytes ---- */

/* Writes it all, in as many segments as it takes. */
static bool write_out(struct payload_upload *upload, struct bytes data, bool end, uint64_t *position,
                      struct error *error) {
    struct spool_entry entry = {.payload = upload->payload,
                                .names = buffer_bytes(&upload->names),
                                .data = data,
                                .data_crc32c = crc32c(data),
                                .end = end,
                                .size_bytes = upload->size_bytes,
                                .crc32c = upload->crc32c};
    while (entry.names.size > 0 || entry.data.size > 0 || entry.end) {
        struct spool_written written;
        entry.payload_offset = upload->written_bytes;
        if (!spool_append(upload->spool, &entry, &written, error)) {
            return false;
        }
        if (written.names) {
            entry.names = (struct bytes){0};
            buffer_clear(&upload->names);
        }
        entry.data.data += written.data_bytes;
        entry.data.size -= written.data_bytes;
        entry.end = entry.end && !written.end;
        upload->written_bytes += written.data_bytes;
        if (written.data_bytes > 0 && entry.data.size > 0) {
            entry.data_crc32c = crc32c(entry.data);
        }
        *position = written.position;
    }
    return true;
}

static bool write_gathered(struct payload_upload *upload, struct error *error) {
    uint64_t position;
    bool good = write_out(upload, buffer_bytes(&upload->gather), false, &position, error);
    buffer_clear(&upload->gather);
    return good;
}

static struct bytes take_piece(struct bytes *data, size_t most) {
    struct bytes piece = bytes_of(data->data, data->size < most ? data->size : most);
    data->data += piece.size;
    data->size -= piece.size;
    return piece;
}

static bool append(struct payload_upload *upload, struct bytes data, struct error *error) {
    while (data.size > 0) {
        if (upload->gather.size == 0 && data.size >= DIRECT_BYTES) {
            uint64_t position;
            if (!write_out(upload, take_piece(&data, SPOOL_DATA_MAX_BYTES), false, &position, error)) {
                return false;
            }
            continue;
        }
        buffer_append_bytes(&upload->gather, take_piece(&data, GATHER_BYTES - upload->gather.size));
        if (upload->gather.size == GATHER_BYTES && !write_gathered(upload, error)) {
            return false;
        }
    }
    return spool_bound_dirty(upload->spool, error);
}

static bool set_given_up(struct error *error) {
    return error_set(error, ERROR_ABORTED, "UPLOAD_GIVEN_UP", "the upload was cancelled, or its time is up");
}

/* There may be no more room for its bucket. */
static bool check_share(const struct payload_upload *upload, struct error *error) {
    pthread_mutex_lock(&upload->spool->lock);
    bool good = spool_check_share(upload->spool, upload->payload->bucket, error);
    pthread_mutex_unlock(&upload->spool->lock);
    return good;
}

/* Somebody may take the payload away while it is uploaded. */
static bool check_given_up(const struct payload_upload *upload, struct error *error) {
    pthread_mutex_lock(&upload->spool->lock);
    bool given_up = upload->payload->given_up;
    pthread_mutex_unlock(&upload->spool->lock);
    return !given_up || set_given_up(error);
}

bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error) {
    if (!check_given_up(upload, error) || !check_share(upload, error)) {
        return false;
    }
    upload->crc32c = crc32c_extend(upload->crc32c, data);
    upload->size_bytes += data.size;
    upload->broken = !append(upload, data, error);
    return !upload->broken;
}

uint32_t payload_upload_crc32c(const struct payload_upload *upload) {
    return upload->crc32c;
}

uint64_t payload_upload_size(const struct payload_upload *upload) {
    return upload->size_bytes;
}

struct uuid payload_upload_payload_id(const struct payload_upload *upload) {
    return upload->payload->id;
}

/* ---- end ---- */

static void upload_free(struct payload_upload *upload) {
    buffer_free(&upload->names);
    buffer_free(&upload->gather);
    free(upload);
}

static bool make_durable(struct payload_upload *upload, struct error *error) {
    uint64_t position = 0;
    upload->broken = !write_out(upload, buffer_bytes(&upload->gather), true, &position, error) ||
                     !spool_flush(upload->spool, position, error);
    return !upload->broken;
}

bool payload_upload_finish(struct payload_upload *upload, struct error *error) {
    struct payload_spool *spool = upload->spool;
    struct payload *payload = upload->payload;
    if (!check_given_up(upload, error) || !FAILPOINT("spool.finish.before") || !make_durable(upload, error)) {
        payload_upload_suspend(upload);
        return false;
    }
    FAILPOINT("spool.finish.after");
    assert(upload->written_bytes == upload->size_bytes);
    pthread_mutex_lock(&spool->lock);
    bool given_up = payload->given_up;
    if (!given_up) {
        payload->size_bytes = upload->size_bytes;
        payload->crc32c = upload->crc32c;
        payload->complete = true;
    }
    payload_unuse(spool, payload);
    pthread_mutex_unlock(&spool->lock);
    upload_free(upload);
    return !given_up || set_given_up(error);
}

void payload_upload_abort(struct payload_upload *upload) {
    struct payload_spool *spool = upload->spool;
    pthread_mutex_lock(&spool->lock);
    if (!upload->payload->given_up) {
        payload_remove(spool, upload->payload);
    }
    payload_unuse(spool, upload->payload);
    pthread_mutex_unlock(&spool->lock);
    upload_free(upload);
}

/* What was appended is written and durable; or, after a failure, what was written by then. */
static bool settle_bytes(struct payload_upload *upload) {
    struct error failure = {0};
    if (!upload->broken && upload->gather.size > 0 && !write_gathered(upload, &failure)) {
        upload->broken = true;
    }
    pthread_mutex_lock(&upload->spool->lock);
    uint64_t position = upload->spool->appended;
    pthread_mutex_unlock(&upload->spool->lock);
    return spool_flush(upload->spool, position, &failure);
}

void payload_upload_suspend(struct payload_upload *upload) {
    struct payload_spool *spool = upload->spool;
    struct payload *payload = upload->payload;
    bool kept = !uuid_is_zero(&payload->upload_id) && FAILPOINT("spool.suspend.before") && settle_bytes(upload) &&
                FAILPOINT("spool.suspend.after");
    pthread_mutex_lock(&spool->lock);
    kept = kept && !payload->given_up && payload->spooled_bytes > 0;
    if (kept) {
        payload->partial->crc32c = upload->broken ? payload_join_crc32c(payload) : upload->crc32c;
        partial_suspend(spool, payload->partial);
        payload_unuse(spool, payload);
    }
    pthread_mutex_unlock(&spool->lock);
    if (kept) {
        upload_free(upload);
    } else {
        payload_upload_abort(upload);
    }
}
