/* Segment files: one after the other is begun, filled, sealed, and begun anew under the next
 * number when nothing in it is live. A free segment keeps its name until then, so that freeing
 * one costs no I/O. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "metadata-svc/spool/spool_parts.h"

enum { SPOOL_RETRY_MS = 1000 };

void segment_file_name(uint64_t number, char name[SEGMENT_NAME_BYTES]) {
    snprintf(name, SEGMENT_NAME_BYTES, "segment-%016" PRIx64, number);
}

bool segment_parse_name(const char *name, uint64_t *number) {
    char again[SEGMENT_NAME_BYTES];
    if (sscanf(name, "segment-%16" SCNx64, number) != 1) {
        return false;
    }
    segment_file_name(*number, again);
    return strcmp(name, again) == 0;
}

bool spool_set_full(const struct payload_spool *spool, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "SPOOL_FULL",
              "the payload spool has no room: its limit is %" PRIu64
              " bytes; payloads leave it as object-svc stores them",
              spool->options.max_bytes);
    error->retry_after_ms = SPOOL_RETRY_MS;
    return false;
}

/* ---- files ---- */

struct disk_file *segment_file_take(struct payload_spool *spool, struct segment *segment, struct error *error) {
    pthread_mutex_lock(&spool->files_lock);
    if (segment->file == NULL) {
        char name[SEGMENT_NAME_BYTES];
        segment_file_name(segment->header.number, name);
        segment->file = spool->disk->ops->open(spool->disk, name, false, error);
        spool->open_files += segment->file != NULL ? 1 : 0;
    }
    segment->file_users += segment->file != NULL ? 1 : 0;
    struct disk_file *file = segment->file;
    pthread_mutex_unlock(&spool->files_lock);
    return file;
}

static void close_file(struct payload_spool *spool, struct segment *segment) {
    if (segment->file != NULL) {
        segment->file->ops->close(segment->file);
        segment->file = NULL;
        spool->open_files--;
    }
}

void segment_file_give(struct payload_spool *spool, struct segment *segment) {
    pthread_mutex_lock(&spool->files_lock);
    assert(segment->file_users > 0);
    if (--segment->file_users == 0 && spool->open_files > spool->options.max_open_files) {
        close_file(spool, segment);
    }
    pthread_mutex_unlock(&spool->files_lock);
}

void segment_file_close(struct payload_spool *spool, struct segment *segment) {
    pthread_mutex_lock(&spool->files_lock);
    close_file(spool, segment);
    pthread_mutex_unlock(&spool->files_lock);
}

/* ---- the set ---- */

static void unlink_from(struct segment **list, struct segment *segment) {
    while (*list != segment) {
        assert(*list != NULL);
        list = &(*list)->next;
    }
    *list = segment->next;
}

void segment_unuse(struct payload_spool *spool, struct segment *segment) {
    assert(segment->uses > 0);
    if (--segment->uses > 0) {
        return;
    }
    unlink_from(&spool->segments, segment);
    segment->next = spool->free_segments;
    spool->free_segments = segment;
    spool->free_count++;
}

static bool may_grow(const struct payload_spool *spool) {
    return spool->file_bytes + spool->options.segment_bytes <= spool->options.max_bytes;
}

/* Whether the next segment can be had; the active one can be, where nothing in it is live. */
static bool can_advance(const struct payload_spool *spool) {
    return spool->free_segments != NULL || may_grow(spool) || (spool->active != NULL && spool->active->uses == 1);
}

bool segments_have_room(const struct payload_spool *spool) {
    const struct segment *active = spool->active;
    return can_advance(spool) ||
           (active != NULL && active->end + SPOOL_BLOCK_BYTES <= spool_last_end(active->header.segment_bytes));
}

static uint64_t oldest_live(const struct payload_spool *spool, uint64_t number) {
    for (const struct segment *segment = spool->segments; segment != NULL; segment = segment->next) {
        number = segment->header.number < number ? segment->header.number : number;
    }
    return number;
}

/* A file for the next segment: a free one, or a new one; NULL when there is none. `old_number`
 * is 0 for a new one. With the lock held. */
static struct segment *claim_segment(struct payload_spool *spool, uint64_t *old_number) {
    struct segment *segment = spool->free_segments;
    if (segment != NULL) {
        spool->free_segments = segment->next;
        spool->free_count--;
        *old_number = segment->header.number;
        return segment;
    }
    if (!may_grow(spool)) {
        return NULL;
    }
    segment = calloc(1, sizeof *segment);
    if (segment == NULL) {
        abort();
    }
    segment->header.segment_bytes = spool->options.segment_bytes;
    spool->file_bytes += spool->options.segment_bytes;
    spool->segment_count++;
    *old_number = 0;
    return segment;
}

/* With the lock held; the segment is in no list. */
static void forget_segment(struct payload_spool *spool, struct segment *segment) {
    spool->file_bytes -= segment->header.segment_bytes;
    spool->segment_count--;
    free(segment);
}

static uint64_t make_salt(void) {
    struct uuid id = uuid_make();
    return get_le64(id.raw) ^ get_le64(id.raw + 8);
}

static void prepare(struct payload_spool *spool, struct segment *segment) {
    segment->header = (struct spool_segment_header){
        .number = ++spool->last_number,
        .salt = make_salt(),
        .segment_bytes = spool->options.segment_bytes,
        .oldest_live = oldest_live(spool, spool->last_number),
        .next_upload = spool->next_upload,
        .create_unix_us = clock_unix_us(spool->clock),
    };
    segment->uses = 1; /* the appender */
    segment->end = spool_first_frame();
    segment->write_back = write_back_from(segment->end);
    segment->dirty = false;
    segment->flushing = 0;
    segment->durable = 0;
}

static bool write_headers(struct disk_file *file, const struct spool_segment_header *header, struct error *error) {
    uint8_t block[SPOOL_BLOCK_BYTES] = {0};
    spool_segment_header_encode(header, block);
    struct bytes bytes = bytes_of(block, sizeof block);
    return file->ops->write(file, 0, bytes, error) &&
           file->ops->write(file, header->segment_bytes - SPOOL_BLOCK_BYTES, bytes, error);
}

enum begin_result { BEGIN_DONE, BEGIN_NO_SPACE, BEGIN_FAILED };

/* Whether the disk would have the reserve left with one more file. Where it does not say, allocating tells. */
static bool leaves_reserve(struct payload_spool *spool, struct error *error) {
    struct disk_space space;
    struct error unknown = {0};
    uint64_t reserve = spool->options.reserve_bytes;
    return reserve == 0 || !spool->disk->ops->space(spool->disk, &space, &unknown) ||
           space.free_bytes >= reserve + spool->options.segment_bytes ||
           error_set(error, ERROR_RESOURCE_EXHAUSTED, "DISK_FULL",
                     "its disk has %" PRIu64 " bytes free, %" PRIu64 " of them are kept for the record store",
                     space.free_bytes, reserve);
}

/* The file under its new name, with its new headers, all durable before a frame is written. */
static enum begin_result begin_file(struct payload_spool *spool, struct segment *segment, uint64_t old_number,
                                    struct error *error) {
    struct disk *disk = spool->disk;
    char name[SEGMENT_NAME_BYTES];
    segment_file_name(segment->header.number, name);
    if (old_number != 0) {
        char old_name[SEGMENT_NAME_BYTES];
        segment_file_name(old_number, old_name);
        FAILPOINT("spool.recycle.before");
        if (!disk->ops->rename(disk, old_name, name, error)) {
            return BEGIN_FAILED;
        }
        FAILPOINT("spool.recycle.after");
    } else if (!leaves_reserve(spool, error)) {
        return BEGIN_NO_SPACE;
    }
    struct disk_file *file = segment->file;
    if (file == NULL) {
        file = disk->ops->open(disk, name, true, error);
        if (file == NULL) {
            return BEGIN_NO_SPACE;
        }
        pthread_mutex_lock(&spool->files_lock);
        segment->file = file;
        spool->open_files++;
        pthread_mutex_unlock(&spool->files_lock);
    }
    if (!segment->held) {
        pthread_mutex_lock(&spool->files_lock);
        segment->file_users++;
        pthread_mutex_unlock(&spool->files_lock);
        segment->held = true; /* nobody else knows the segment yet */
    }
    if (!file->ops->allocate(file, 0, segment->header.segment_bytes, error)) {
        return BEGIN_NO_SPACE;
    }
    bool good = FAILPOINT("spool.header.before") && write_headers(file, &segment->header, error) &&
                FAILPOINT("spool.header.written") && file->ops->sync(file, error) &&
                disk->ops->sync_directory(disk, "", error) && FAILPOINT("spool.header.after");
    return good ? BEGIN_DONE : BEGIN_FAILED;
}

/* No space, or no descriptor: the file goes, the spool stays as it was. */
static bool give_back(struct payload_spool *spool, struct segment *segment, struct error *error) {
    char name[SEGMENT_NAME_BYTES];
    segment_file_name(segment->header.number, name);
    segment_file_close(spool, segment);
    struct error stray = {0};
    bool gone = spool->disk->ops->unlink(spool->disk, name, &stray);
    pthread_mutex_lock(&spool->lock);
    forget_segment(spool, segment);
    pthread_mutex_unlock(&spool->lock);
    if (!gone) {
        *error = stray;
        return spool_fail(spool, error);
    }
    if (error->code == ERROR_RESOURCE_EXHAUSTED) {
        error_prefix(error, "the payload spool cannot grow");
        memcpy(error->reason, "SPOOL_FULL", sizeof "SPOOL_FULL");
        error->retry_after_ms = SPOOL_RETRY_MS;
    }
    return false;
}

/* A free segment that the options, changed since, have no place for; out of the list. */
static struct segment *take_misfit(struct payload_spool *spool) {
    struct segment *misfit = NULL;
    pthread_mutex_lock(&spool->lock);
    for (struct segment *segment = spool->free_segments; segment != NULL && misfit == NULL; segment = segment->next) {
        bool fits = segment->header.segment_bytes == spool->options.segment_bytes &&
                    spool->file_bytes <= spool->options.max_bytes;
        misfit = fits ? NULL : segment;
    }
    if (misfit != NULL) {
        unlink_from(&spool->free_segments, misfit);
        spool->free_count--;
    }
    pthread_mutex_unlock(&spool->lock);
    return misfit;
}

static bool drop_misfits(struct payload_spool *spool, struct error *error) {
    struct segment *misfit;
    while ((misfit = take_misfit(spool)) != NULL) {
        char name[SEGMENT_NAME_BYTES];
        segment_file_name(misfit->header.number, name);
        segment_file_close(spool, misfit);
        bool good = FAILPOINT("spool.shrink.before") && spool->disk->ops->unlink(spool->disk, name, error) &&
                    FAILPOINT("spool.shrink.after");
        pthread_mutex_lock(&spool->lock);
        forget_segment(spool, misfit);
        pthread_mutex_unlock(&spool->lock);
        if (!good) {
            return spool_fail(spool, error);
        }
    }
    return true;
}

/* Seals the active segment, which has no room left. It may be free by that. */
static bool retire_active(struct payload_spool *spool, struct error *error) {
    struct segment *full = spool->active;
    if (full == NULL) {
        return true;
    }
    if (!spool_seal(spool, full, error)) {
        return false;
    }
    pthread_mutex_lock(&spool->lock);
    spool->active = NULL;
    segment_unuse(spool, full);
    pthread_mutex_unlock(&spool->lock);
    return true;
}

bool segments_advance(struct payload_spool *spool, struct error *error) {
    if (!drop_misfits(spool, error)) {
        return false;
    }
    pthread_mutex_lock(&spool->lock);
    if (!can_advance(spool)) {
        payload_drop_released(spool);
    }
    while (!can_advance(spool) && partial_give_up_oldest(spool)) {
    }
    bool possible = can_advance(spool);
    pthread_mutex_unlock(&spool->lock);
    if (!possible) {
        return spool_set_full(spool, error);
    }
    if (!retire_active(spool, error)) {
        return false;
    }
    uint64_t old_number;
    pthread_mutex_lock(&spool->lock);
    struct segment *segment = claim_segment(spool, &old_number);
    if (segment != NULL) {
        prepare(spool, segment);
    }
    pthread_mutex_unlock(&spool->lock);
    if (segment == NULL) {
        return spool_set_full(spool, error);
    }
    enum begin_result result = begin_file(spool, segment, old_number, error);
    if (result == BEGIN_NO_SPACE) {
        return give_back(spool, segment, error);
    }
    pthread_mutex_lock(&spool->lock);
    segment->next = spool->segments;
    spool->segments = segment;
    spool->active = segment;
    pthread_mutex_unlock(&spool->lock);
    return result == BEGIN_DONE || spool_fail(spool, error);
}
