/* Opening the spool: segments are read in the order of their numbers, frame header by frame
 * header. In the last one, where a crash may have torn what was never flushed, the data is
 * verified too; it ends at the first frame that is not whole. Nothing is appended to an old
 * segment, so a torn tail is never written behind. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

enum { NAMES_MAX_BYTES = 2048 };

struct numbers {
    uint64_t *list;
    size_t count;
};

struct names {
    struct numbers segments;
    struct numbers spares;
};

static void add_number(struct numbers *numbers, uint64_t number) {
    numbers->list = realloc(numbers->list, (numbers->count + 1) * sizeof *numbers->list);
    if (numbers->list == NULL) {
        abort();
    }
    numbers->list[numbers->count++] = number;
}

static bool take_name(void *context, const char *name) {
    struct names *names = context;
    uint64_t number;
    int used = 0;
    if (sscanf(name, "segment-%16" SCNx64 "%n", &number, &used) == 1 && name[used] == '\0') {
        add_number(&names->segments, number);
    } else if (sscanf(name, "spare-%16" SCNx64 "%n", &number, &used) == 1 && name[used] == '\0') {
        add_number(&names->spares, number);
    }
    return true;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* ---- frames ---- */

static void take_begin(struct payload_spool *spool, const struct spool_frame *frame, const char *names) {
    struct payload *old = payload_find(spool, &frame->payload_id);
    if (old != NULL) {
        payload_remove(spool, old); /* an upload that broke off and was begun again */
    }
    payload_add(spool, &frame->payload_id, names, names + strlen(names) + 1);
}

static void take_data(struct payload_spool *spool, struct segment *segment, const struct spool_frame *frame,
                      uint64_t data_at) {
    struct payload *payload = payload_find(spool, &frame->payload_id);
    if (payload == NULL || payload->complete || payload->size_bytes != frame->payload_offset) {
        return; /* the rest of a payload whose first segments are recycled */
    }
    struct extent extent = {segment, data_at, frame->payload_offset, frame->data_bytes, frame->data_crc32c};
    payload_add_extent(payload, &extent);
    spool->live_bytes += frame->data_bytes;
}

static void take_end(struct payload_spool *spool, const struct spool_frame *frame) {
    struct payload *payload = payload_find(spool, &frame->payload_id);
    if (payload != NULL && payload->size_bytes == frame->payload_offset) {
        payload->crc32c = frame->whole_crc32c;
        payload->complete = true;
    }
}

/* Two NUL-terminated names and nothing else. */
static bool names_are_whole(const uint8_t *data, size_t size) {
    const uint8_t *first = memchr(data, 0, size);
    return size > 1 && first != NULL && data[size - 1] == 0 &&
           memchr(first + 1, 0, size - (size_t)(first + 1 - data)) == data + size - 1;
}

static bool data_is_whole(struct segment *segment, const struct spool_frame *frame, uint64_t data_at, bool *whole,
                          struct error *error) {
    uint8_t *data = malloc(frame->data_bytes + (size_t)1);
    if (data == NULL) {
        abort();
    }
    int64_t got = segment->file->ops->read(segment->file, data_at, data, frame->data_bytes, error);
    *whole = got == frame->data_bytes && crc32c(bytes_of(data, frame->data_bytes)) == frame->data_crc32c;
    free(data);
    return got >= 0;
}

/* Takes the frame at the segment's end; `more` is false where there is none. */
static bool take_frame(struct payload_spool *spool, struct segment *segment, bool is_last, bool *more,
                       struct error *error) {
    uint8_t header[SPOOL_HEADER_BYTES];
    struct spool_frame frame;
    *more = false;
    int64_t got = segment->file->ops->read(segment->file, segment->end, header, sizeof header, error);
    if (got < (int64_t)sizeof header) {
        return got >= 0;
    }
    uint64_t data_at = segment->end + SPOOL_HEADER_BYTES;
    if (!spool_frame_decode(header, &frame) || frame.segment != segment->number ||
        frame.data_bytes > spool->options.segment_bytes) {
        return true;
    }
    bool whole = true;
    if (is_last && !data_is_whole(segment, &frame, data_at, &whole, error)) {
        return false;
    }
    if (!whole) {
        return true;
    }
    if (frame.type == SPOOL_FRAME_BEGIN) {
        uint8_t names[NAMES_MAX_BYTES];
        if (frame.data_bytes > sizeof names) {
            return true;
        }
        got = segment->file->ops->read(segment->file, data_at, names, frame.data_bytes, error);
        if (got < 0) {
            return false;
        }
        if (got == frame.data_bytes && crc32c(bytes_of(names, frame.data_bytes)) == frame.data_crc32c &&
            names_are_whole(names, frame.data_bytes)) {
            take_begin(spool, &frame, (const char *)names);
        }
    } else if (frame.type == SPOOL_FRAME_DATA) {
        take_data(spool, segment, &frame, data_at);
    } else {
        take_end(spool, &frame);
    }
    segment->end += spool_frame_bytes(frame.data_bytes);
    *more = true;
    return true;
}

/* ---- segments ---- */

static bool recover_segment(struct payload_spool *spool, uint64_t number, bool is_last, struct error *error) {
    char name[32];
    segment_file_name(number, false, name);
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL) {
        abort();
    }
    segment->number = number;
    segment->uses = 1;
    segment->file = spool->disk->ops->open(spool->disk, name, false, error);
    if (segment->file == NULL) {
        free(segment);
        return false;
    }
    segment->next = spool->segments;
    spool->segments = segment;
    uint8_t header[SPOOL_HEADER_BYTES] = {0};
    uint64_t stored_number;
    uint64_t stored_bytes;
    int64_t got = segment->file->ops->read(segment->file, 0, header, sizeof header, error);
    bool good = got >= 0;
    if (good && spool_segment_header_decode(header, &stored_number, &stored_bytes) && stored_number == number) {
        bool more = true;
        segment->end = SPOOL_HEADER_BYTES;
        while (good && more) {
            good = take_frame(spool, segment, is_last, &more, error);
        }
    } else if (good && !is_last) {
        log_error("spool_segment_unreadable", LOG_STR("file", name),
                  LOG_STR("hint", "its payloads are reported as missing when they are pulled"));
    }
    return good;
}

/* What has no end is not resumed: its producer begins again. */
static void drop_unfinished(struct payload_spool *spool) {
    struct payload *payload, *next;
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (!payload->complete) {
            payload_remove(spool, payload);
        }
    }
}

/* Lets go of the use that recovery had; segments without live bytes become spares. */
static void drop_unused(struct payload_spool *spool) {
    struct segment *segment = spool->segments;
    while (segment != NULL) {
        struct segment *next = segment->next;
        segment_unuse(spool, segment);
        segment = next;
    }
}

bool spool_recover(struct payload_spool *spool, struct error *error) {
    struct names names = {0};
    bool good = spool->disk->ops->list(spool->disk, "", take_name, &names, error);
    if (names.segments.count > 1) {
        qsort(names.segments.list, names.segments.count, sizeof *names.segments.list, compare_numbers);
    }
    for (size_t i = 0; good && i < names.segments.count; i++) {
        good = recover_segment(spool, names.segments.list[i], i + 1 == names.segments.count, error);
        spool->last_number = names.segments.list[i];
    }
    for (size_t i = 0; i < names.spares.count; i++) {
        if (names.spares.list[i] > spool->last_number) {
            spool->last_number = names.spares.list[i];
        }
    }
    spool->spares = names.spares.list;
    spool->spare_count = names.spares.count;
    spool->file_count = names.segments.count + names.spares.count;
    free(names.segments.list);
    if (good) {
        drop_unfinished(spool);
        drop_unused(spool);
        log_info("spool_opened", LOG_INT("payloads", spool->live_payloads), LOG_INT("bytes", spool->live_bytes),
                 LOG_INT("segments", spool->file_count));
    }
    return good;
}
