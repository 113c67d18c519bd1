/* The log: frames are appended one after the other, and made durable by flushes that all who
 * wait share. What was flushed and what comes after never stand in the same block, so that no
 * later write can tear it. */
#include <assert.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

bool spool_set_read_only(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "SPOOL_READ_ONLY",
                     "the payload spool takes no uploads after a disk error") ||
           error_retry_after(error, ERROR_RETRY_READ_ONLY_MS);
}

bool spool_fail(struct payload_spool *spool, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    bool first = !spool->failed;
    spool->failed = true;
    pthread_mutex_unlock(&spool->lock);
    if (first) {
        log_error("spool_failed", LOG_ERROR(error),
                  LOG_STR("hint", "check the disk, then restart the service: it keeps what was flushed"));
    }
    return spool_set_read_only(error);
}

/* ---- append ---- */

/* What the encoder needs beside the entry. */
struct placing {
    const struct segment *segment;
    struct spool_layout layout;
    uint64_t start;
    uint16_t lead_bytes; /* left free before the start */
    uint64_t flushed;
};

static void append_zeros(struct buffer *out, size_t size) {
    memset(buffer_reserve(out, size), 0, size);
    out->size += size;
}

static void encode(struct buffer *out, const struct placing *placing, struct spool_frame *frame, uint64_t at) {
    append_zeros(out, (size_t)(at - placing->start) - out->size);
    frame->lead_bytes = at == placing->start ? placing->lead_bytes : 0;
    spool_frame_encode(frame, &placing->segment->header, at, buffer_reserve(out, SPOOL_HEADER_BYTES));
    out->size += SPOOL_HEADER_BYTES;
}

static struct spool_frame make_frame(enum spool_frame_type type, const struct placing *placing,
                                     const struct spool_entry *entry) {
    return (struct spool_frame){
        .type = type, .payload_id = entry->payload->id, .upload = entry->payload->upload, .flushed = placing->flushed};
}

static void encode_begin(struct buffer *out, const struct placing *placing, const struct spool_entry *entry) {
    struct spool_frame frame = make_frame(SPOOL_FRAME_BEGIN, placing, entry);
    frame.number = (uint64_t)entry->payload->create_unix_us;
    frame.body_bytes = (uint32_t)entry->names.size;
    frame.crc32c = crc32c(entry->names);
    encode(out, placing, &frame, placing->layout.begin_at);
    buffer_append_bytes(out, entry->names);
}

static void encode_data(struct buffer *out, const struct placing *placing, const struct spool_entry *entry,
                        uint32_t crc) {
    const struct spool_layout *layout = &placing->layout;
    struct spool_frame frame = make_frame(SPOOL_FRAME_DATA, placing, entry);
    frame.number = entry->payload_offset;
    frame.gap_bytes = (uint16_t)(layout->data_at - layout->data_header_at - SPOOL_HEADER_BYTES);
    frame.body_bytes = (uint32_t)layout->data_bytes;
    frame.crc32c = crc;
    encode(out, placing, &frame, layout->data_header_at);
    append_zeros(out, frame.gap_bytes);
}

static void encode_end(struct buffer *out, const struct placing *placing, const struct spool_entry *entry) {
    struct spool_frame frame = make_frame(SPOOL_FRAME_END, placing, entry);
    frame.number = entry->size_bytes;
    frame.crc32c = entry->crc32c;
    encode(out, placing, &frame, placing->layout.end_at);
}

/* Headers and small data go to the disk in one write; large data goes from where it is. */
static bool write_frames(struct payload_spool *spool, const struct placing *placing, struct disk_file *file,
                         const struct spool_entry *entry, uint32_t crc, struct error *error) {
    const struct spool_layout *layout = &placing->layout;
    struct buffer *out = &spool->scratch;
    struct bytes data = bytes_of(entry->data.data, layout->data_bytes);
    struct placing rest = *placing; /* what is still to be written */
    buffer_clear(out);
    if (entry->names.size > 0) {
        encode_begin(out, placing, entry);
    }
    if (data.size > 0) {
        encode_data(out, placing, entry, crc);
    }
    if (data.size >= SPOOL_LARGE_BYTES) {
        if (!file->ops->write(file, rest.start, buffer_bytes(out), error) || !FAILPOINT("spool.append.headers_only") ||
            !file->ops->write(file, layout->data_at, data, error)) {
            return false;
        }
        buffer_clear(out);
        rest.start = layout->end_at;
        rest.lead_bytes = 0;
    } else {
        buffer_append_bytes(out, data);
    }
    if (layout->with_end) {
        encode_end(out, &rest, entry);
    }
    return out->size == 0 || file->ops->write(file, rest.start, buffer_bytes(out), error);
}

/* Finds the place in the active segment, or in the next one; with append_lock held. */
static bool find_place(struct payload_spool *spool, const struct spool_parts *parts, struct placing *placing,
                       struct error *error) {
    for (int attempt = 0; attempt < 2; attempt++) {
        pthread_mutex_lock(&spool->lock);
        bool failed = spool->failed;
        const struct segment *segment = spool->active;
        if (segment != NULL) {
            /* After a flush began, what follows starts in a block of its own. */
            placing->segment = segment;
            placing->start = segment->dirty ? segment->end : spool_round_up(segment->end, SPOOL_BLOCK_BYTES);
            placing->lead_bytes = (uint16_t)(placing->start - segment->end);
            placing->flushed = segment->durable;
        }
        pthread_mutex_unlock(&spool->lock);
        if (failed) {
            return spool_set_read_only(error);
        }
        if (segment != NULL &&
            spool_layout_make(parts, placing->start, spool_last_end(segment->header.segment_bytes), &placing->layout)) {
            return true;
        }
        if (!segments_advance(spool, error)) {
            return false;
        }
    }
    return error_set(error, ERROR_INTERNAL, "SPOOL_SEGMENT_TOO_SMALL", "a frame does not fit into a whole segment");
}

static void publish(struct payload_spool *spool, const struct placing *placing, const struct spool_entry *entry,
                    uint32_t crc, struct spool_written *written) {
    const struct spool_layout *layout = &placing->layout;
    struct segment *segment = spool->active;
    assert(segment == placing->segment);
    *written = (struct spool_written){
        .names = entry->names.size > 0, .data_bytes = layout->data_bytes, .end = layout->with_end};
    pthread_mutex_lock(&spool->lock);
    bool wanted = !entry->payload->given_up;
    if (wanted) {
        payload_use_segment(entry->payload, segment);
    }
    if (wanted && layout->data_bytes > 0) {
        struct extent extent = {segment, layout->data_at, entry->payload_offset, (uint32_t)layout->data_bytes, crc};
        payload_add_extent(spool, entry->payload, &extent);
    }
    spool->appended += layout->next - segment->end;
    segment->end = layout->next;
    segment->dirty = true;
    written->position = spool->appended;
    pthread_mutex_unlock(&spool->lock);
}

static bool append_entry(struct payload_spool *spool, const struct spool_entry *entry, struct spool_written *written,
                         struct error *error) {
    struct spool_parts parts = {entry->names.size, entry->data.size, entry->end};
    struct placing placing = {0};
    if (!find_place(spool, &parts, &placing, error)) {
        return false;
    }
    size_t taken = placing.layout.data_bytes;
    uint32_t crc = taken == entry->data.size ? entry->data_crc32c : crc32c(bytes_of(entry->data.data, taken));
    struct disk_file *file = segment_file_take(spool, spool->active, error);
    if (file == NULL) {
        return false;
    }
    bool good = FAILPOINT("spool.append.before") && write_frames(spool, &placing, file, entry, crc, error) &&
                FAILPOINT("spool.append.after") &&
                write_back_advance(&spool->active->write_back, file, placing.layout.next, error);
    segment_file_give(spool, spool->active);
    if (!good) {
        return spool_fail(spool, error);
    }
    publish(spool, &placing, entry, crc, written);
    return true;
}

bool spool_append(struct payload_spool *spool, const struct spool_entry *entry, struct spool_written *written,
                  struct error *error) {
    pthread_mutex_lock(&spool->append_lock);
    bool good = append_entry(spool, entry, written, error);
    pthread_mutex_unlock(&spool->append_lock);
    return good;
}

bool spool_seal(struct payload_spool *spool, struct segment *segment, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    uint64_t at = spool_round_up(segment->end, SPOOL_BLOCK_BYTES);
    struct spool_frame frame = {
        .type = SPOOL_FRAME_SEAL, .lead_bytes = (uint16_t)(at - segment->end), .flushed = segment->durable};
    pthread_mutex_unlock(&spool->lock);
    uint8_t header[SPOOL_HEADER_BYTES];
    spool_frame_encode(&frame, &segment->header, at, header);
    struct disk_file *file = segment_file_take(spool, segment, error);
    if (file == NULL) {
        return false;
    }
    bool good = FAILPOINT("spool.seal.before") && file->ops->write(file, at, bytes_of(header, sizeof header), error) &&
                FAILPOINT("spool.seal.after");
    segment_file_give(spool, segment);
    if (!good) {
        return spool_fail(spool, error);
    }
    pthread_mutex_lock(&spool->lock);
    uint64_t end = at + SPOOL_HEADER_BYTES;
    spool->appended += end - segment->end;
    segment->end = end;
    segment->dirty = true;
    pthread_mutex_unlock(&spool->lock);
    return true;
}

/* ---- flush ---- */

/* What one flush covers. */
struct flush {
    struct segment **segments;
    size_t count;
    uint64_t position;
};

/* With the lock held. The segments cannot be begun anew while the flush uses them. */
static void start_flush(struct payload_spool *spool, struct flush *flush) {
    *flush = (struct flush){.position = spool->appended};
    spool->flushing_position = flush->position;
    for (struct segment *segment = spool->segments; segment != NULL; segment = segment->next) {
        if (segment->dirty) {
            segment->dirty = false;
            segment->flushing = segment->end;
            segment->uses++;
            flush->segments = spool_grow(flush->segments, flush->count + 1, sizeof *flush->segments);
            flush->segments[flush->count++] = segment;
        }
    }
    spool->flushing = true;
}

/* Nothing more will be written to it: it need not be kept open. */
static void let_go_of_file(struct payload_spool *spool, struct segment *segment) {
    pthread_mutex_lock(&spool->lock);
    bool let_go = segment->held && segment != spool->active && !segment->dirty;
    segment->held = segment->held && !let_go;
    pthread_mutex_unlock(&spool->lock);
    if (let_go) {
        segment_file_give(spool, segment);
    }
}

static bool sync_segment(struct payload_spool *spool, struct segment *segment, struct error *error) {
    struct disk_file *file = segment_file_take(spool, segment, error);
    if (file == NULL) {
        return false;
    }
    bool good = file->ops->sync(file, error);
    segment_file_give(spool, segment);
    let_go_of_file(spool, segment);
    return good;
}

/* Oldest first: `spool->segments` has the newest first. */
static bool sync_segments(struct payload_spool *spool, const struct flush *flush, struct error *error) {
    for (size_t i = flush->count; i > 0; i--) {
        if (!sync_segment(spool, flush->segments[i - 1], error)) {
            return false;
        }
    }
    return true;
}

/* With the lock held. */
static void end_flush(struct payload_spool *spool, struct flush *flush, bool good) {
    for (size_t i = 0; i < flush->count; i++) {
        if (good) {
            flush->segments[i]->durable = flush->segments[i]->flushing;
        }
        segment_unuse(spool, flush->segments[i]);
    }
    free(flush->segments);
    if (good) {
        spool->durable = flush->position;
    }
    spool->flushing = false;
    pthread_cond_broadcast(&spool->flushed[spool->flush_number % 2]);
    spool->flush_number++;
    pthread_cond_signal(&spool->flushed[spool->flush_number % 2]); /* it leads the next for the others there */
}

/* Nobody leads another flush. */
static void wake_all(struct payload_spool *spool) {
    pthread_cond_broadcast(&spool->flushed[0]);
    pthread_cond_broadcast(&spool->flushed[1]);
}

/* Whoever finds no flush under way leads one for all that is appended by then; the others wait
 * for theirs. */
bool spool_flush(struct payload_spool *spool, uint64_t position, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    while (!spool->failed && spool->durable < position) {
        if (spool->flushing) {
            bool covered = position <= spool->flushing_position;
            pthread_cond_wait(&spool->flushed[(spool->flush_number + !covered) % 2], &spool->lock);
            continue;
        }
        struct flush flush;
        start_flush(spool, &flush);
        pthread_mutex_unlock(&spool->lock);
        FAILPOINT("spool.flush.before");
        bool good = sync_segments(spool, &flush, error) || spool_fail(spool, error);
        FAILPOINT("spool.flush.after");
        pthread_mutex_lock(&spool->lock);
        end_flush(spool, &flush, good);
    }
    bool good = spool->durable >= position;
    if (spool->failed) {
        wake_all(spool);
    }
    pthread_mutex_unlock(&spool->lock);
    return good || spool_set_read_only(error);
}

bool spool_bound_dirty(struct payload_spool *spool, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    uint64_t dirty = spool->appended - spool->durable;
    uint64_t position = spool->appended;
    bool lead = dirty >= spool->options.dirty_bytes && !spool->flushing;
    bool wait = dirty >= 2 * spool->options.dirty_bytes;
    pthread_mutex_unlock(&spool->lock);
    return (!lead && !wait) || spool_flush(spool, position, error);
}
