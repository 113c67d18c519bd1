/* The calls of the spool but for uploads: opening and closing, reading, release, figures. */
#include "metadata-svc/spool/payload_spool.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

#define SPOOL_SEGMENT_MAX_BYTES ((uint64_t)64 << 30)

/* ---- open and close ---- */

static uint64_t or_default(uint64_t value, uint64_t initial) {
    return value != 0 ? value : initial;
}

static bool check_options(struct payload_spool_options *options, struct error *error) {
    options->segment_bytes = or_default(options->segment_bytes, 64 << 20) / SPOOL_BLOCK_BYTES * SPOOL_BLOCK_BYTES;
    options->max_payloads = or_default(options->max_payloads, 1000000);
    options->dirty_bytes = or_default(options->dirty_bytes, 32 << 20);
    options->max_open_files = options->max_open_files != 0 ? options->max_open_files : 256;
    if (options->segment_bytes < PAYLOAD_SPOOL_SEGMENT_MIN_BYTES || options->segment_bytes > SPOOL_SEGMENT_MAX_BYTES) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_OPTION", "a spool segment has from 64 KiB to 64 GiB");
    }
    if (options->max_bytes < options->segment_bytes) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_OPTION",
                         "the spool's limit of %" PRIu64 " bytes holds no segment of %" PRIu64, options->max_bytes,
                         options->segment_bytes);
    }
    return true;
}

static void segments_free(struct payload_spool *spool, struct segment *list) {
    while (list != NULL) {
        struct segment *segment = list;
        list = segment->next;
        segment_file_close(spool, segment);
        free(segment);
    }
}

static void spool_free(struct payload_spool *spool) {
    payload_table_free(spool);
    segments_free(spool, spool->segments);
    segments_free(spool, spool->free_segments);
    buffer_free(&spool->scratch);
    fair_share_free(spool->bucket_bytes);
    pthread_cond_destroy(&spool->flushed[0]);
    pthread_cond_destroy(&spool->flushed[1]);
    pthread_mutex_destroy(&spool->files_lock);
    pthread_mutex_destroy(&spool->lock);
    pthread_mutex_destroy(&spool->append_lock);
    free(spool);
}

struct payload_spool *payload_spool_open(struct disk *disk, const struct payload_spool_options *options,
                                         struct error *error) {
    struct payload_spool_options checked = *options;
    if (!check_options(&checked, error)) {
        return NULL;
    }
    struct payload_spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        abort();
    }
    spool->disk = disk;
    spool->options = checked;
    spool->clock = options->clock != NULL ? options->clock : &system_clock;
    spool->next_upload = 1;
    spool->bucket_bytes = fair_share_new(checked.max_bytes, checked.bucket_percent);
    pthread_mutex_init(&spool->append_lock, NULL);
    pthread_mutex_init(&spool->lock, NULL);
    pthread_mutex_init(&spool->files_lock, NULL);
    pthread_cond_init(&spool->flushed[0], NULL);
    pthread_cond_init(&spool->flushed[1], NULL);
    if (!spool_recover(spool, error)) {
        spool_free(spool);
        return NULL;
    }
    return spool;
}

/* What a seal says to be durable needs no verification at the next start. */
static bool seal_active(struct payload_spool *spool, struct error *error) {
    return spool->active == NULL ||
           (spool_flush(spool, spool->appended, error) && spool_seal(spool, spool->active, error) &&
            spool_flush(spool, spool->appended, error));
}

void payload_spool_close(struct payload_spool *spool) {
    if (spool == NULL) {
        return;
    }
    struct error error = {0};
    if (!spool->failed && !seal_active(spool, &error)) {
        log_warn("spool_not_sealed", LOG_ERROR(&error),
                 LOG_STR("hint", "nothing is lost; the next start verifies more"));
    }
    spool_free(spool);
}

/* ---- reading ---- */

static bool set_not_spooled(struct error *error) {
    return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_SPOOLED", "the spool does not have the payload");
}

static bool set_corrupt(const struct payload *payload, struct error *error) {
    char id[UUID_TEXT_BYTES];
    uuid_print(&payload->id, id);
    return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "spooled bytes of payload %s are damaged", id);
}

/* The finished payload, in use until payload_unuse; NULL where there is none. With the lock held. */
static struct payload *find_complete(struct payload_spool *spool, const struct uuid *id) {
    struct payload *payload = payload_find(spool, id);
    return payload != NULL && payload->complete ? payload : NULL;
}

bool spool_read_extent(struct payload_spool *spool, const struct extent *extent, uint8_t *out, bool *whole,
                       struct error *error) {
    struct disk_file *file = segment_file_take(spool, extent->segment, error);
    if (file == NULL) {
        return false;
    }
    int64_t got = file->ops->read(file, extent->data_at, out, extent->data_bytes, error);
    segment_file_give(spool, extent->segment);
    *whole = got == extent->data_bytes && crc32c(bytes_of(out, extent->data_bytes)) == extent->data_crc32c;
    return got >= 0;
}

/* The extent's data, verified. */
static bool read_extent(struct payload_spool *spool, const struct payload *payload, const struct extent *extent,
                        uint8_t *out, struct error *error) {
    bool whole;
    return spool_read_extent(spool, extent, out, &whole, error) && (whole || set_corrupt(payload, error));
}

/* A part of an extent; all of it is read to verify it. */
static bool read_part(struct payload_spool *spool, const struct payload *payload, const struct extent *extent,
                      uint64_t skip, uint8_t *out, size_t size, struct error *error) {
    if (skip == 0 && size == extent->data_bytes) {
        return read_extent(spool, payload, extent, out, error);
    }
    uint8_t *whole = spool_grow(NULL, 1, extent->data_bytes);
    bool good = read_extent(spool, payload, extent, whole, error);
    if (good) {
        memcpy(out, whole + skip, size);
    }
    free(whole);
    return good;
}

static bool read_range(struct payload_spool *spool, const struct payload *payload, uint64_t offset, uint8_t *out,
                       size_t size, struct error *error) {
    if (payload->damaged && payload->extents.count == 0) {
        return set_corrupt(payload, error);
    }
    if (offset > payload->size_bytes || size > payload->size_bytes - offset) {
        return error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the payload has %" PRIu64 " bytes",
                         payload->size_bytes);
    }
    for (size_t i = extent_list_find(&payload->extents, offset); size > 0; i++) {
        if (i >= payload->extents.count) {
            return set_corrupt(payload, error); /* its frame is lost */
        }
        struct extent extent = extent_list_get(&payload->extents, i);
        if (extent.payload_offset > offset) {
            return set_corrupt(payload, error);
        }
        uint64_t skip = offset - extent.payload_offset;
        size_t part = extent.data_bytes - (size_t)skip < size ? extent.data_bytes - (size_t)skip : size;
        if (!read_part(spool, payload, &extent, skip, out, part, error)) {
            return false;
        }
        offset += part;
        out += part;
        size -= part;
    }
    return true;
}

bool payload_spool_read(struct payload_spool *spool, const struct uuid *payload_id, uint64_t offset, void *out,
                        size_t size, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = find_complete(spool, payload_id);
    if (payload != NULL) {
        payload->uses++; /* keeps its segments from being begun anew */
    }
    pthread_mutex_unlock(&spool->lock);
    if (payload == NULL) {
        return set_not_spooled(error);
    }
    bool good = read_range(spool, payload, offset, out, size, error);
    pthread_mutex_lock(&spool->lock);
    payload_unuse(spool, payload);
    pthread_mutex_unlock(&spool->lock);
    return good;
}

/* ---- what is there ---- */

bool payload_spool_stat(struct payload_spool *spool, const struct uuid *payload_id, struct payload_info *info,
                        struct error *error) {
    pthread_mutex_lock(&spool->lock);
    const struct payload *payload = find_complete(spool, payload_id);
    if (payload != NULL) {
        payload_describe(payload, info);
    }
    pthread_mutex_unlock(&spool->lock);
    return payload != NULL || set_not_spooled(error);
}

void payload_spool_release(struct payload_spool *spool, const struct uuid *payload_id) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = payload_find(spool, payload_id);
    if (payload != NULL && payload->complete) {
        payload_release(spool, payload);
    } else if (payload != NULL) {
        payload_give_up(spool, payload);
    }
    pthread_mutex_unlock(&spool->lock);
}

void payload_spool_hold(struct payload_spool *spool) {
    pthread_mutex_lock(&spool->lock);
    spool->holds++;
    pthread_mutex_unlock(&spool->lock);
}

void payload_spool_let_go(struct payload_spool *spool) {
    pthread_mutex_lock(&spool->lock);
    assert(spool->holds > 0);
    if (--spool->holds == 0) {
        payload_drop_released(spool);
    }
    pthread_mutex_unlock(&spool->lock);
}

/* The ids of all finished payloads; the caller frees them. */
static struct uuid *list_ids(struct payload_spool *spool, size_t *count) {
    struct payload *payload, *next;
    *count = 0;
    pthread_mutex_lock(&spool->lock);
    struct uuid *ids = spool_grow(NULL, (size_t)spool->live_payloads + 1, sizeof *ids);
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (payload->complete) {
            ids[(*count)++] = payload->id;
        }
    }
    pthread_mutex_unlock(&spool->lock);
    return ids;
}

void payload_spool_each(struct payload_spool *spool, void (*visit)(void *context, const struct payload_info *info),
                        void *context) {
    size_t count;
    struct uuid *ids = list_ids(spool, &count);
    for (size_t i = 0; i < count; i++) {
        struct payload_info info;
        struct error gone = {0};
        if (payload_spool_stat(spool, &ids[i], &info, &gone)) {
            visit(context, &info);
        }
    }
    free(ids);
}

bool payload_spool_failed(struct payload_spool *spool) {
    pthread_mutex_lock(&spool->lock);
    bool failed = spool->failed;
    pthread_mutex_unlock(&spool->lock);
    return failed;
}

void payload_spool_stats(struct payload_spool *spool, struct payload_spool_stats *stats) {
    pthread_mutex_lock(&spool->lock);
    uint64_t used_bytes = 0;
    for (const struct segment *segment = spool->segments; segment != NULL; segment = segment->next) {
        used_bytes += segment->header.segment_bytes;
    }
    *stats = (struct payload_spool_stats){
        .live_bytes = spool->live_bytes,
        .live_payloads = spool->live_payloads,
        .idle_uploads = spool->idle_uploads,
        .idle_bytes = spool->idle_bytes,
        .used_bytes = used_bytes,
        .limit_bytes = spool->options.max_bytes,
        .segments = spool->segment_count,
        .free_segments = spool->free_count,
    };
    pthread_mutex_unlock(&spool->lock);
}
