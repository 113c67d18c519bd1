#include "metadata-svc/spool/payload_spool.h"

#include <string.h>

#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

/* Bytes that may wait for a flush: an appender that goes past this flushes first, so that no
 * finish has to wait for a mountain of other uploads' bytes. */
enum { SPOOL_DIRTY_MAX_BYTES = 64 * 1024 * 1024 };

struct payload_upload {
    struct payload_spool *spool;
    struct payload *payload;
    uint32_t crc32c;
    uint64_t size_bytes;
};

/* ---- payloads ---- */

struct payload *payload_find(struct payload_spool *spool, const struct uuid *id) {
    struct payload *payload = NULL;
    HASH_FIND(hh, spool->payloads, id->raw, sizeof id->raw, payload);
    return payload;
}

static void *grow(void *array, size_t count, size_t item_bytes) {
    void *grown = realloc(array, count * item_bytes);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

struct payload *payload_add(struct payload_spool *spool, const struct uuid *id, const char *bucket, const char *key) {
    struct payload *payload = calloc(1, sizeof *payload);
    if (payload == NULL) {
        abort();
    }
    payload->id = *id;
    payload->bucket = strdup(bucket);
    payload->key = strdup(key);
    if (payload->bucket == NULL || payload->key == NULL) {
        abort();
    }
    payload->uses = 1;
    HASH_ADD(hh, spool->payloads, id.raw, sizeof payload->id.raw, payload);
    spool->live_payloads++;
    return payload;
}

/* Bytes of a payload come in log order, so a new segment shows as a change from the last one. */
static void use_segment(struct payload *payload, struct segment *segment) {
    if (payload->segment_count > 0 && payload->segments[payload->segment_count - 1] == segment) {
        return;
    }
    payload->segments = grow(payload->segments, payload->segment_count + 1, sizeof *payload->segments);
    payload->segments[payload->segment_count++] = segment;
    segment->uses++;
}

void payload_add_extent(struct payload *payload, const struct extent *extent) {
    if (payload->extent_count == payload->extent_capacity) {
        payload->extent_capacity = payload->extent_capacity == 0 ? 1 : payload->extent_capacity * 2;
        payload->extents = grow(payload->extents, payload->extent_capacity, sizeof *payload->extents);
    }
    payload->extents[payload->extent_count++] = *extent;
    payload->size_bytes += extent->data_bytes;
    use_segment(payload, extent->segment);
}

static void payload_unuse(struct payload_spool *spool, struct payload *payload) {
    if (--payload->uses > 0) {
        return;
    }
    for (size_t i = 0; i < payload->segment_count; i++) {
        segment_unuse(spool, payload->segments[i]);
    }
    free(payload->bucket);
    free(payload->key);
    free(payload->extents);
    free(payload->segments);
    free(payload);
}

void payload_remove(struct payload_spool *spool, struct payload *payload) {
    HASH_DEL(spool->payloads, payload);
    spool->live_payloads--;
    spool->live_bytes -= payload->size_bytes;
    payload_unuse(spool, payload);
}

/* ---- open and close ---- */

struct payload_spool *payload_spool_open(struct disk *disk, const struct payload_spool_options *options,
                                         struct error *error) {
    struct payload_spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        abort();
    }
    spool->disk = disk;
    spool->options = *options;
    pthread_mutex_init(&spool->append_lock, NULL);
    pthread_mutex_init(&spool->lock, NULL);
    pthread_cond_init(&spool->flushed, NULL);
    if (!spool_recover(spool, error)) {
        payload_spool_close(spool);
        return NULL;
    }
    return spool;
}

void payload_spool_close(struct payload_spool *spool) {
    if (spool == NULL) {
        return;
    }
    struct payload *payload, *next_payload;
    HASH_ITER(hh, spool->payloads, payload, next_payload) {
        HASH_DEL(spool->payloads, payload);
        free(payload->bucket);
        free(payload->key);
        free(payload->extents);
        free(payload->segments);
        free(payload);
    }
    while (spool->segments != NULL) {
        struct segment *segment = spool->segments;
        spool->segments = segment->next;
        segment->file->ops->close(segment->file);
        free(segment);
    }
    free(spool->spares);
    pthread_cond_destroy(&spool->flushed);
    pthread_mutex_destroy(&spool->lock);
    pthread_mutex_destroy(&spool->append_lock);
    free(spool);
}

/* ---- flush ---- */

static void mark_failed(struct payload_spool *spool, const struct error *error) {
    if (!spool->failed) {
        log_error("spool_failed", LOG_ERROR(error),
                  LOG_STR("hint", "check the disk, then restart the service: it keeps what was flushed"));
    }
    spool->failed = true;
}

static bool read_only(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "SPOOL_READ_ONLY",
                     "the payload spool takes no uploads after a disk error");
}

/* Flushes every segment that was written to; called with the lock held by the one flusher,
 * gives it up meanwhile. */
static bool flush_dirty(struct payload_spool *spool, struct error *error) {
    size_t count = 0;
    struct segment **dirty = NULL;
    for (struct segment *segment = spool->segments; segment != NULL; segment = segment->next) {
        if (segment->dirty) {
            segment->dirty = false;
            segment->uses++;
            dirty = grow(dirty, count + 1, sizeof *dirty);
            dirty[count++] = segment;
        }
    }
    pthread_mutex_unlock(&spool->lock);
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good = good && dirty[i]->file->ops->sync(dirty[i]->file, error);
    }
    pthread_mutex_lock(&spool->lock);
    for (size_t i = 0; i < count; i++) {
        segment_unuse(spool, dirty[i]);
    }
    free(dirty);
    return good;
}

/* Waits until the log is durable up to `position`. Whoever finds no flush under way leads one
 * for all that is appended by then; the others wait for theirs. */
static bool flush_to(struct payload_spool *spool, uint64_t position, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    while (!spool->failed && spool->durable < position) {
        if (spool->flushing) {
            pthread_cond_wait(&spool->flushed, &spool->lock);
            continue;
        }
        spool->flushing = true;
        uint64_t target = spool->appended;
        if (flush_dirty(spool, error)) {
            spool->durable = target;
        } else {
            mark_failed(spool, error);
        }
        spool->flushing = false;
        pthread_cond_broadcast(&spool->flushed);
    }
    bool good = spool->durable >= position || read_only(error);
    pthread_mutex_unlock(&spool->lock);
    return good;
}

/* ---- append ---- */

/* Where a frame went. */
struct placed {
    struct segment *segment;
    uint64_t data_at;
    uint64_t position; /* of its end in the log */
};

/* Writes one frame at the end of the active segment; called with the append lock held. As
 * frames are written one after the other, a crash leaves no gap before a flushed one. */
static bool write_frame(struct payload_spool *spool, struct spool_frame *frame, struct bytes data,
                        struct placed *placed, struct error *error) {
    struct segment *segment = spool->active;
    uint64_t size = spool_frame_bytes(frame->data_bytes);
    uint8_t header[SPOOL_HEADER_BYTES];
    frame->segment = segment->number;
    spool_frame_encode(frame, header);
    bool good = segment->file->ops->write(segment->file, segment->end + SPOOL_HEADER_BYTES, data, error) &&
                segment->file->ops->write(segment->file, segment->end, bytes_of(header, sizeof header), error);
    pthread_mutex_lock(&spool->lock);
    if (good) {
        placed->segment = segment;
        placed->data_at = segment->end + SPOOL_HEADER_BYTES;
        segment->end += size;
        segment->dirty = true;
        spool->appended += size;
        placed->position = spool->appended;
    } else {
        mark_failed(spool, error);
    }
    pthread_mutex_unlock(&spool->lock);
    return good;
}

static bool check_writable(struct payload_spool *spool, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    bool good = !spool->failed || read_only(error);
    pthread_mutex_unlock(&spool->lock);
    return good;
}

/* Appends a frame whose data goes nowhere else. */
static bool append_mark(struct payload_spool *spool, struct spool_frame *frame, struct bytes data, uint64_t *position,
                        struct error *error) {
    struct placed placed = {0};
    frame->data_bytes = (uint32_t)data.size;
    frame->data_crc32c = crc32c(data);
    pthread_mutex_lock(&spool->append_lock);
    bool good = check_writable(spool, error) && segments_make_room(spool, data.size, error) &&
                write_frame(spool, frame, data, &placed, error);
    pthread_mutex_unlock(&spool->append_lock);
    *position = placed.position;
    return good;
}

/* Appends as much of the data as fits into one segment; returns how much, -1 on failure. */
static int64_t append_data(struct payload_upload *upload, struct bytes data, struct error *error) {
    struct payload_spool *spool = upload->spool;
    int64_t taken = -1;
    pthread_mutex_lock(&spool->append_lock);
    if (check_writable(spool, error) && segments_make_room(spool, data.size, error)) {
        uint64_t room = spool->options.segment_bytes - spool->active->end - SPOOL_HEADER_BYTES;
        struct bytes part =
            bytes_of(data.data, data.size < room ? data.size : (size_t)room / SPOOL_ALIGN_BYTES * SPOOL_ALIGN_BYTES);
        struct placed placed;
        struct spool_frame frame = {
            .type = SPOOL_FRAME_DATA,
            .payload_id = upload->payload->id,
            .payload_offset = upload->size_bytes,
            .data_bytes = (uint32_t)part.size,
            .data_crc32c = crc32c(part),
        };
        if (write_frame(spool, &frame, part, &placed, error)) {
            struct extent extent = {placed.segment, placed.data_at, upload->size_bytes, frame.data_bytes,
                                    frame.data_crc32c};
            pthread_mutex_lock(&spool->lock);
            payload_add_extent(upload->payload, &extent);
            spool->live_bytes += part.size;
            pthread_mutex_unlock(&spool->lock);
            upload->crc32c = crc32c_extend(upload->crc32c, part);
            upload->size_bytes += part.size;
            taken = (int64_t)part.size;
        }
    }
    pthread_mutex_unlock(&spool->append_lock);
    return taken;
}

static bool bound_dirty(struct payload_spool *spool, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    uint64_t dirty = spool->appended - spool->durable;
    uint64_t position = spool->appended;
    pthread_mutex_unlock(&spool->lock);
    return dirty <= SPOOL_DIRTY_MAX_BYTES || flush_to(spool, position, error);
}

/* ---- uploads ---- */

static struct payload *claim_id(struct payload_spool *spool, const struct uuid *id, const char *bucket, const char *key,
                                struct error *error) {
    struct payload *payload = NULL;
    pthread_mutex_lock(&spool->lock);
    const struct payload *there = payload_find(spool, id);
    if (there == NULL) {
        payload = payload_add(spool, id, bucket, key);
    } else if (there->complete) {
        error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_SPOOLED", "the payload was uploaded already");
    } else {
        error_set(error, ERROR_FAILED_PRECONDITION, "UPLOAD_IN_PROGRESS", "the payload is being uploaded already");
    }
    pthread_mutex_unlock(&spool->lock);
    return payload;
}

static void give_up(struct payload_spool *spool, struct payload *payload) {
    pthread_mutex_lock(&spool->lock);
    payload_remove(spool, payload);
    pthread_mutex_unlock(&spool->lock);
}

struct payload_upload *payload_upload_begin(struct payload_spool *spool, const struct uuid *payload_id,
                                            const char *bucket, const char *key, struct error *error) {
    struct payload *payload = claim_id(spool, payload_id, bucket, key, error);
    if (payload == NULL) {
        return NULL;
    }
    struct buffer names = {0};
    buffer_append(&names, bucket, strlen(bucket) + 1);
    buffer_append(&names, key, strlen(key) + 1);
    struct spool_frame frame = {.type = SPOOL_FRAME_BEGIN, .payload_id = *payload_id};
    uint64_t position;
    bool good = append_mark(spool, &frame, buffer_bytes(&names), &position, error);
    buffer_free(&names);
    if (!good) {
        give_up(spool, payload);
        return NULL;
    }
    struct payload_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL) {
        abort();
    }
    upload->spool = spool;
    upload->payload = payload;
    return upload;
}

bool payload_upload_append(struct payload_upload *upload, struct bytes data, struct error *error) {
    while (data.size > 0) {
        int64_t taken = append_data(upload, data, error);
        if (taken < 0) {
            return false;
        }
        data.data += taken;
        data.size -= (size_t)taken;
    }
    return bound_dirty(upload->spool, error);
}

uint32_t payload_upload_crc32c(const struct payload_upload *upload) {
    return upload->crc32c;
}

bool payload_upload_finish(struct payload_upload *upload, struct error *error) {
    struct payload_spool *spool = upload->spool;
    struct spool_frame frame = {
        .type = SPOOL_FRAME_END,
        .payload_id = upload->payload->id,
        .payload_offset = upload->size_bytes,
        .whole_crc32c = upload->crc32c,
    };
    uint64_t position;
    bool good = append_mark(spool, &frame, (struct bytes){0}, &position, error) && flush_to(spool, position, error);
    if (good) {
        pthread_mutex_lock(&spool->lock);
        upload->payload->crc32c = upload->crc32c;
        upload->payload->complete = true;
        pthread_mutex_unlock(&spool->lock);
    } else {
        give_up(spool, upload->payload);
    }
    free(upload);
    return good;
}

void payload_upload_abort(struct payload_upload *upload) {
    give_up(upload->spool, upload->payload);
    free(upload);
}

/* ---- reading ---- */

static bool corrupt(const struct payload *payload, struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "spooled bytes of \"%s\" in bucket \"%s\" are damaged",
                     payload->key, payload->bucket);
}

/* Reads `size` bytes from `skip` on of one extent; all of it is read to verify it. */
static bool read_extent(const struct payload *payload, const struct extent *extent, uint64_t skip, uint8_t *out,
                        size_t size, struct error *error) {
    bool whole = skip == 0 && size == extent->data_bytes;
    uint8_t *into = whole ? out : malloc(extent->data_bytes);
    if (into == NULL) {
        abort();
    }
    int64_t got =
        extent->segment->file->ops->read(extent->segment->file, extent->data_at, into, extent->data_bytes, error);
    bool good = got >= 0;
    if (good && (got != extent->data_bytes || crc32c(bytes_of(into, extent->data_bytes)) != extent->data_crc32c)) {
        good = corrupt(payload, error);
    }
    if (good && !whole) {
        memcpy(out, into + skip, size);
    }
    if (!whole) {
        free(into);
    }
    return good;
}

/* The first extent that reaches beyond `offset`: they are in order. */
static size_t find_extent(const struct payload *payload, uint64_t offset) {
    size_t low = 0;
    size_t high = payload->extent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct extent *extent = &payload->extents[middle];
        if (extent->payload_offset + extent->data_bytes <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool read_range(const struct payload *payload, uint64_t offset, uint8_t *out, size_t size, struct error *error) {
    for (size_t i = find_extent(payload, offset); size > 0; i++) {
        if (i >= payload->extent_count) {
            return corrupt(payload, error);
        }
        const struct extent *extent = &payload->extents[i];
        uint64_t skip = offset - extent->payload_offset;
        size_t part = extent->data_bytes - (size_t)skip < size ? extent->data_bytes - (size_t)skip : size;
        if (!read_extent(payload, extent, skip, out, part, error)) {
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
    struct payload *payload = payload_find(spool, payload_id);
    if (payload == NULL || !payload->complete) {
        pthread_mutex_unlock(&spool->lock);
        return error_set(error, ERROR_NOT_FOUND, "PAYLOAD_NOT_SPOOLED", "the spool does not have the payload");
    }
    payload->uses++; /* a complete payload no longer changes */
    pthread_mutex_unlock(&spool->lock);
    bool good = offset <= payload->size_bytes && size <= payload->size_bytes - offset
                    ? read_range(payload, offset, out, size, error)
                    : error_set(error, ERROR_OUT_OF_RANGE, "READ_PAST_END", "the payload has %llu bytes",
                                (unsigned long long)payload->size_bytes);
    pthread_mutex_lock(&spool->lock);
    payload_unuse(spool, payload);
    pthread_mutex_unlock(&spool->lock);
    return good;
}

/* ---- release and figures ---- */

void payload_spool_release(struct payload_spool *spool, const struct uuid *payload_id) {
    pthread_mutex_lock(&spool->lock);
    struct payload *payload = payload_find(spool, payload_id);
    if (payload != NULL && payload->complete) {
        payload_remove(spool, payload);
    }
    pthread_mutex_unlock(&spool->lock);
}

void payload_spool_each(struct payload_spool *spool, void (*visit)(void *context, const struct payload_info *info),
                        void *context) {
    struct payload *payload, *next;
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (payload->complete) {
            struct payload_info info = {payload->id, payload->bucket, payload->key, payload->size_bytes,
                                        payload->crc32c};
            visit(context, &info);
        }
    }
}

void payload_spool_stats(struct payload_spool *spool, struct payload_spool_stats *stats) {
    pthread_mutex_lock(&spool->lock);
    stats->live_bytes = spool->live_bytes;
    stats->live_payloads = spool->live_payloads;
    stats->used_bytes = (spool->file_count - spool->spare_count) * spool->options.segment_bytes;
    stats->limit_bytes = spool->options.max_bytes;
    pthread_mutex_unlock(&spool->lock);
}
