/* Uploads that go on where they broke off: after the client went away, or after a restart. */
#include <inttypes.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

static bool set_in_progress(struct error *error) {
    return error_set(error, ERROR_FAILED_PRECONDITION, "UPLOAD_IN_PROGRESS",
                     "somebody uploads the payload at this moment");
}

static bool set_wrong_offset(uint64_t right, struct error *error) {
    error_set(error, ERROR_OUT_OF_RANGE, "WRONG_WRITE_OFFSET", "the upload goes on at offset %" PRIu64, right);
    error_set_detail(error, "write_offset", "%" PRIu64, right);
    return false;
}

/* ---- claiming it ---- */

/* The suspended upload; NULL where there is none, or the error. One that was begun for another
 * key is none: it is given up. With the lock held. */
static struct partial *find_suspended(struct payload_spool *spool, const struct upload_start *start,
                                      struct error *error) {
    struct partial *partial = partial_find(spool, &start->upload_id);
    if (spool->failed) {
        spool_set_read_only(error);
        return NULL;
    }
    if (partial != NULL && !partial->suspended) {
        set_in_progress(error);
        return NULL;
    }
    if (partial != NULL &&
        (strcmp(partial->payload->bucket, start->bucket) != 0 || strcmp(partial->payload->key, start->key) != 0)) {
        payload_give_up(spool, partial->payload);
        return NULL;
    }
    return partial;
}

/* With the lock held. */
static struct payload *begin_anew(struct payload_spool *spool, const struct upload_start *start, struct error *error) {
    const struct payload *there = payload_find(spool, &start->payload_id);
    if (there != NULL && there->complete) {
        error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_SPOOLED", "the payload was uploaded already");
    } else if (there != NULL) {
        set_in_progress(error);
    } else if (start->write_offset != 0) {
        set_wrong_offset(0, error);
    } else if (!spool_takes_payload(spool)) {
        spool_set_full(spool, error);
    } else if (spool_check_share(spool, start->bucket, error)) {
        struct payload *payload = payload_begin(spool, &start->payload_id, start->bucket, start->key);
        payload->upload_id = start->upload_id;
        partial_add(spool, payload);
        return payload;
    }
    return NULL;
}

/* The payload, in use by who uploads it; `resumed` where it was there. With the lock held. */
static struct payload *claim(struct payload_spool *spool, const struct upload_start *start, bool *resumed,
                             struct error *error) {
    error->code = ERROR_OK;
    struct partial *partial = find_suspended(spool, start, error);
    *resumed = partial != NULL;
    if (partial == NULL) {
        return error->code == ERROR_OK ? begin_anew(spool, start, error) : NULL;
    }
    struct payload *payload = partial->payload;
    if (payload->spooled_bytes != start->write_offset) {
        set_wrong_offset(payload->spooled_bytes, error);
        return NULL;
    }
    partial_resume(spool, partial);
    payload->uses++;
    return payload;
}

/* ---- what is from before the start ---- */

/* A tail that a crash tore may look durable after the start that comes next, so nothing that
 * another process wrote is built upon before it was read. */
static bool count_good_extents(struct payload_spool *spool, const struct payload *payload, size_t *good,
                               struct error *error) {
    uint8_t *data = spool_grow(NULL, 1, SPOOL_DATA_MAX_BYTES);
    bool readable = true;
    bool whole = true;
    *good = 0;
    for (size_t i = 0; i < payload->extents.count && readable && whole; i++) {
        struct extent extent = extent_list_get(&payload->extents, i);
        whole = extent.data_bytes <= SPOOL_DATA_MAX_BYTES;
        readable = !whole || spool_read_extent(spool, &extent, data, &whole, error);
        *good += readable && whole ? 1 : 0;
    }
    free(data);
    return readable;
}

/* With the lock held: what was verified counts. True when that is all of it. */
static bool take_verified(struct payload_spool *spool, struct payload *payload, size_t good, struct error *error) {
    if (payload->given_up) {
        return error_set(error, ERROR_ABORTED, "UPLOAD_GIVEN_UP", "the upload was cancelled meanwhile");
    }
    bool whole = good == payload->extents.count;
    payload_cut(spool, payload, good);
    payload->partial->crc32c = payload_join_crc32c(payload);
    payload->partial->unverified = false;
    return whole || set_wrong_offset(payload->spooled_bytes, error);
}

/* False with the error where it cannot go on here; then it waits again. */
static bool verify(struct payload_spool *spool, struct payload *payload, uint32_t *crc, struct error *error) {
    size_t good;
    pthread_mutex_lock(&spool->lock);
    payload->uses++; /* as a reader: its segments stay */
    pthread_mutex_unlock(&spool->lock);
    bool whole = count_good_extents(spool, payload, &good, error);
    pthread_mutex_lock(&spool->lock);
    whole = whole && take_verified(spool, payload, good, error);
    *crc = whole ? payload->partial->crc32c : 0;
    payload_unuse(spool, payload);
    if (!whole && !payload->given_up) {
        partial_suspend(spool, payload->partial);
    }
    if (!whole) {
        payload_unuse(spool, payload);
    }
    pthread_mutex_unlock(&spool->lock);
    return whole;
}

struct payload_upload *payload_upload_open(struct payload_spool *spool, const struct upload_start *start,
                                           struct error *error) {
    struct error refusal;
    bool resumed;
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = claim(spool, start, &resumed, &refusal);
    bool unverified = payload != NULL && payload->partial->unverified;
    uint32_t crc = payload != NULL ? payload->partial->crc32c : 0;
    pthread_mutex_unlock(&spool->lock);
    if (payload == NULL) {
        *error = refusal;
        return NULL;
    }
    if (unverified && !verify(spool, payload, &crc, error)) {
        return NULL;
    }
    return payload_upload_new(spool, payload, resumed, crc);
}

/* The upload, claimed as by who goes on with it, where its bytes have still to be read; NULL for none.
 * With the lock held. */
static struct payload *claim_unverified(struct payload_spool *spool, const struct uuid *upload_id) {
    struct partial *partial = partial_find(spool, upload_id);
    if (partial == NULL || !partial->suspended || !partial->unverified) {
        return NULL;
    }
    partial_resume(spool, partial);
    partial->payload->uses++;
    return partial->payload;
}

bool payload_spool_verify_upload(struct payload_spool *spool, const struct uuid *upload_id, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = claim_unverified(spool, upload_id);
    pthread_mutex_unlock(&spool->lock);
    if (payload == NULL) {
        return true;
    }
    uint32_t ignored;
    struct error cause = {0};
    if (!verify(spool, payload, &ignored, &cause)) {
        bool readable = cause.code == ERROR_OUT_OF_RANGE || cause.code == ERROR_ABORTED; /* less, or none */
        *error = readable ? *error : cause;
        return readable;
    }
    pthread_mutex_lock(&spool->lock);
    if (!payload->given_up) {
        partial_suspend(spool, payload->partial);
    }
    payload_unuse(spool, payload);
    pthread_mutex_unlock(&spool->lock);
    return true;
}

/* ---- what becomes of it ---- */

void payload_spool_settle_upload(struct payload_spool *spool, const struct uuid *payload_id) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = payload_find(spool, payload_id);
    if (payload != NULL && payload->complete && payload->partial != NULL) {
        partial_end(spool, payload->partial);
    }
    pthread_mutex_unlock(&spool->lock);
}

/* Nobody reads it, and no later upload has its id; an earlier one is given up. */
static bool can_reopen(struct payload_spool *spool, const struct payload *payload) {
    if (payload->released || payload->damaged || payload->uses > 1 || payload->spooled_bytes == 0 ||
        uuid_is_zero(&payload->upload_id)) {
        return false;
    }
    const struct partial *other = partial_find(spool, &payload->upload_id);
    if (other == NULL || other == payload->partial) {
        return true;
    }
    if (!other->suspended || other->payload->upload > payload->upload) {
        return false;
    }
    payload_give_up(spool, other->payload);
    return true;
}

void payload_spool_reopen(struct payload_spool *spool, const struct uuid *payload_id) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = payload_find(spool, payload_id);
    if (payload != NULL && payload->complete && can_reopen(spool, payload)) {
        bool from_before = payload->partial == NULL;
        struct partial *partial = from_before ? partial_add(spool, payload) : payload->partial;
        partial->crc32c = payload->crc32c;
        partial->unverified = from_before;
        payload->complete = false;
        partial_suspend(spool, partial);
    } else if (payload != NULL && payload->complete) {
        payload_release(spool, payload);
    }
    pthread_mutex_unlock(&spool->lock);
}

bool payload_spool_cancel_upload(struct payload_spool *spool, const struct uuid *upload_id) {
    pthread_mutex_lock(&spool->lock);
    struct partial *partial = partial_find(spool, upload_id);
    bool unfinished = partial != NULL && !partial->payload->complete;
    if (unfinished) {
        payload_give_up(spool, partial->payload);
    }
    pthread_mutex_unlock(&spool->lock);
    return unfinished;
}

uint64_t payload_spool_expire_uploads(struct payload_spool *spool) {
    int64_t now_us = clock_monotonic_us(spool->clock);
    uint64_t count = 0;
    pthread_mutex_lock(&spool->lock);
    while (spool->options.upload_idle_us > 0 && spool->idle_first != NULL &&
           now_us - spool->idle_first->idle_from_us >= spool->options.upload_idle_us) {
        partial_give_up_oldest(spool);
        count++;
    }
    pthread_mutex_unlock(&spool->lock);
    return count;
}

/* ---- what is known of it ---- */

/* Of one that is under way: up to the last flush. */
static uint64_t durable_bytes(const struct payload *payload) {
    uint64_t durable = payload->spooled_bytes;
    for (size_t i = payload->extents.count; i > 0; i--) {
        struct extent extent = extent_list_get(&payload->extents, i - 1);
        if (extent.data_at + extent.data_bytes <= extent.segment->durable) {
            break;
        }
        durable = extent.payload_offset;
    }
    return durable;
}

static void describe(const struct payload_spool *spool, const struct partial *partial, struct upload_info *info) {
    const struct payload *payload = partial->payload;
    *info = (struct upload_info){
        .upload_id = partial->upload_id,
        .payload_id = payload->id,
        .persisted_bytes = partial->suspended ? payload->spooled_bytes : durable_bytes(payload),
        .in_progress = !partial->suspended,
    };
    if (partial->suspended && spool->options.upload_idle_us > 0) {
        int64_t idle_us = clock_monotonic_us(spool->clock) - partial->idle_from_us;
        info->expire_unix_us = clock_unix_us(spool->clock) + spool->options.upload_idle_us - idle_us;
    }
}

bool payload_spool_find_upload(struct payload_spool *spool, const struct uuid *upload_id, struct upload_info *info) {
    pthread_mutex_lock(&spool->lock);
    const struct partial *partial = partial_find(spool, upload_id);
    if (partial != NULL) {
        describe(spool, partial, info);
    }
    pthread_mutex_unlock(&spool->lock);
    return partial != NULL;
}

void payload_spool_each_upload(struct payload_spool *spool,
                               void (*visit)(void *context, const struct upload_info *info), void *context) {
    pthread_mutex_lock(&spool->lock);
    size_t count = 0;
    struct upload_info *uploads = spool_grow(NULL, HASH_COUNT(spool->partials) + 1, sizeof *uploads);
    for (const struct partial *partial = spool->idle_first; partial != NULL; partial = partial->next) {
        describe(spool, partial, &uploads[count++]);
    }
    pthread_mutex_unlock(&spool->lock);
    for (size_t i = 0; i < count; i++) {
        visit(context, &uploads[i]);
    }
    free(uploads);
}
