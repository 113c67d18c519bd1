#include <stdio.h>

#include "metadata-svc/spool/spool_parts.h"

enum { SPOOL_RETRY_MS = 1000, FRAME_MIN_DATA_BYTES = 4096 };

void segment_file_name(uint64_t number, bool spare, char name[32]) {
    snprintf(name, 32, "%s-%016llx", spare ? "spare" : "segment", (unsigned long long)number);
}

bool spool_set_full(const struct payload_spool *spool, struct error *error) {
    error_set(error, ERROR_RESOURCE_EXHAUSTED, "SPOOL_FULL",
              "the payload spool has no room: its limit is %llu bytes; payloads leave it as object-svc stores them",
              (unsigned long long)spool->options.max_bytes);
    error->retry_after_ms = SPOOL_RETRY_MS;
    return false;
}

bool segment_is_full(const struct payload_spool *spool, const struct segment *segment, uint64_t data_bytes) {
    uint64_t least = data_bytes < FRAME_MIN_DATA_BYTES ? data_bytes : FRAME_MIN_DATA_BYTES;
    return segment->end + spool_frame_bytes(least) > spool->options.segment_bytes;
}

void segment_unuse(struct payload_spool *spool, struct segment *segment) {
    if (--segment->uses > 0) {
        return;
    }
    struct segment **link = &spool->segments;
    while (*link != segment) {
        link = &(*link)->next;
    }
    *link = segment->next;
    segment->file->ops->close(segment->file);
    char old_name[32];
    char spare_name[32];
    segment_file_name(segment->number, false, old_name);
    segment_file_name(segment->number, true, spare_name);
    struct error ignored = {0};
    /* If the name stays, the next start finds nothing live in it and tries again. */
    if (spool->disk->ops->rename(spool->disk, old_name, spare_name, &ignored)) {
        spool->spares = realloc(spool->spares, (spool->spare_count + 1) * sizeof *spool->spares);
        if (spool->spares == NULL) {
            abort();
        }
        spool->spares[spool->spare_count++] = segment->number;
    }
    free(segment);
}

/* Opens a file for the next segment: a spare one under its new name, or a new one. */
static struct disk_file *next_file(struct payload_spool *spool, uint64_t number, bool has_spare, uint64_t spare,
                                   struct error *error) {
    struct disk *disk = spool->disk;
    char name[32];
    segment_file_name(number, false, name);
    if (has_spare) {
        char spare_name[32];
        segment_file_name(spare, true, spare_name);
        if (!disk->ops->rename(disk, spare_name, name, error)) {
            return NULL;
        }
    }
    struct disk_file *file = disk->ops->open(disk, name, true, error);
    if (file == NULL) {
        return NULL;
    }
    uint8_t header[SPOOL_HEADER_BYTES];
    spool_segment_header_encode(number, spool->options.segment_bytes, header);
    if (file->ops->allocate(file, 0, spool->options.segment_bytes, error) &&
        file->ops->write(file, 0, bytes_of(header, sizeof header), error) && file->ops->sync(file, error) &&
        disk->ops->sync_directory(disk, "", error)) {
        return file;
    }
    file->ops->close(file);
    struct error ignored = {0};
    disk->ops->unlink(disk, name, &ignored);
    return NULL;
}

static struct segment *add_segment(struct payload_spool *spool, uint64_t number, struct disk_file *file) {
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL) {
        abort();
    }
    segment->number = number;
    segment->file = file;
    segment->end = SPOOL_HEADER_BYTES;
    segment->uses = 1; /* the appender */
    segment->next = spool->segments;
    spool->segments = segment;
    return segment;
}

bool segments_make_room(struct payload_spool *spool, uint64_t data_bytes, struct error *error) {
    pthread_mutex_lock(&spool->lock);
    if (spool->active != NULL && !segment_is_full(spool, spool->active, data_bytes)) {
        pthread_mutex_unlock(&spool->lock);
        return true;
    }
    bool has_spare = spool->spare_count > 0;
    bool may_grow = (spool->file_count + 1) * spool->options.segment_bytes <= spool->options.max_bytes;
    if (!has_spare && !may_grow) {
        spool_set_full(spool, error);
        pthread_mutex_unlock(&spool->lock);
        return false;
    }
    uint64_t spare = has_spare ? spool->spares[--spool->spare_count] : 0;
    spool->file_count += has_spare ? 0 : 1;
    uint64_t number = ++spool->last_number;
    pthread_mutex_unlock(&spool->lock);

    struct disk_file *file = next_file(spool, number, has_spare, spare, error);

    pthread_mutex_lock(&spool->lock);
    if (file == NULL) {
        spool->file_count--; /* the file is gone, or a stray that the next start counts */
    } else {
        struct segment *full = spool->active;
        spool->active = add_segment(spool, number, file);
        if (full != NULL) {
            segment_unuse(spool, full);
        }
    }
    pthread_mutex_unlock(&spool->lock);
    return file != NULL;
}
