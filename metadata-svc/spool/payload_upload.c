/* Uploads: small pieces are gathered, so that they neither cost a write nor a frame each; large
 * ones are written as they come. */
#include <assert.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

enum {
    GATHER_BYTES = 256 * 1024,
    DIRECT_BYTES = 64 * 1024, /* a piece this long is not copied */
    FRAME_DATA_MAX_BYTES = 1024 * 1024,
};

struct payload_upload {
    struct payload_spool *spool;
    struct payload *payload;
    struct buffer names;  /* of the BEGIN frame; empty once that is written */
    struct buffer gather; /* appended, not yet written */
    uint64_t written_bytes;
    uint64_t size_bytes;
    uint32_t crc32c;
};

/* ---- begin ---- */

static bool is_full(const struct payload_spool *spool) {
    return spool->live_payloads >= spool->options.max_payloads || !segments_have_room(spool);
}

/* With the lock held. */
static struct payload *claim_id(struct payload_spool *spool, const struct uuid *id, struct error *error) {
    const struct payload *there = payload_find(spool, id);
    if ((there != NULL && there->released) || is_full(spool)) {
        payload_drop_released(spool);
        there = payload_find(spool, id);
    }
    if (spool->failed) {
        spool_set_read_only(error);
    } else if (there != NULL && there->complete) {
        error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_SPOOLED", "the payload was uploaded already");
    } else if (there != NULL) {
        error_set(error, ERROR_FAILED_PRECONDITION, "UPLOAD_IN_PROGRESS", "the payload is being uploaded already");
    } else if (is_full(spool)) {
        spool_set_full(spool, error);
    } else {
        return payload_add(spool, id, spool->next_upload++);
    }
    return NULL;
}

struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error) {
    struct bytes bucket_text = bytes_of_string(bucket);
    struct bytes key_text = bytes_of_string(key);
    assert(bucket_text.size <= NAME_BUCKET_MAX_BYTES && key_text.size <= NAME_KEY_MAX_BYTES);
    int64_t now_us = clock_unix_us(spool->clock);
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = claim_id(spool, payload_id, error);
    if (payload != NULL) {
        payload_name(payload, bucket_text, key_text, now_us);
    }
    pthread_mutex_unlock(&spool->lock);
    if (payload == NULL) {
        return NULL;
    }
    struct payload_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL) {
        abort();
    }
    upload->spool = spool;
    upload->payload = payload;
    buffer_append(&upload->names, bucket, bucket_text.size + 1);
    buffer_append(&upload->names, key, key_text.size + 1);
    return upload;
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

bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error) {
    upload->crc32c = crc32c_extend(upload->crc32c, data);
    upload->size_bytes += data.size;
    while (data.size > 0) {
        if (upload->gather.size == 0 && data.size >= DIRECT_BYTES) {
            uint64_t position;
            if (!write_out(upload, take_piece(&data, FRAME_DATA_MAX_BYTES), false, &position, error)) {
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

uint32_t payload_upload_crc32c(const struct payload_upload *upload) {
    return upload->crc32c;
}

uint64_t payload_upload_size(const struct payload_upload *upload) {
    return upload->size_bytes;
}

/* ---- end ---- */

static void upload_free(struct payload_upload *upload) {
    buffer_free(&upload->names);
    buffer_free(&upload->gather);
    free(upload);
}

bool payload_upload_finish(struct payload_upload *upload, struct error *error) {
    struct payload_spool *spool = upload->spool;
    uint64_t position = 0;
    if (!write_out(upload, buffer_bytes(&upload->gather), true, &position, error) ||
        !spool_flush(spool, position, error)) {
        payload_upload_abort(upload);
        return false;
    }
    assert(upload->written_bytes == upload->size_bytes);
    pthread_mutex_lock(&spool->lock);
    upload->payload->size_bytes = upload->size_bytes;
    upload->payload->crc32c = upload->crc32c;
    upload->payload->complete = true;
    pthread_mutex_unlock(&spool->lock);
    upload_free(upload);
    return true;
}

void payload_upload_abort(struct payload_upload *upload) {
    pthread_mutex_lock(&upload->spool->lock);
    payload_remove(upload->spool, upload->payload);
    pthread_mutex_unlock(&upload->spool->lock);
    upload_free(upload);
}
