/* Opening the spool. Segments are read in the order of their numbers, frame header by frame
 * header; where no frame stands that should, the next one is searched for, so that damage costs
 * only what it touches. Frames say what was durable when they were made: what is missing before
 * that place is damage, what is missing behind it is the tail that a crash tore, where data is
 * verified too. Nothing is appended to an old segment: it is sealed where it ends. */
#include <inttypes.h>
#include <string.h>

#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"
#include "metadata-svc/spool/spool_scan.h"

enum { DAMAGES_LOGGED = 16 }; /* places; of more only the number */

/* A place in the log. */
struct log_place {
    uint64_t number; /* of the segment */
    uint64_t at;
};

struct recovery {
    struct payload_spool *spool;
    uint64_t *numbers; /* of the files */
    size_t count;
    struct log_place durable; /* all before it was durable once */
    struct log_place *holes;
    size_t hole_count;
    size_t damages; /* holes before `durable` */
    size_t partial; /* payloads with an end and without some of their bytes: never acked, or released
                       and in part begun anew, or damaged; the records know */
};

static bool is_before(struct log_place a, struct log_place b) {
    return a.number < b.number || (a.number == b.number && a.at < b.at);
}

static void add_hole(struct recovery *recovery, const struct segment *segment, uint64_t at) {
    recovery->holes = spool_grow(recovery->holes, recovery->hole_count + 1, sizeof *recovery->holes);
    recovery->holes[recovery->hole_count++] = (struct log_place){segment->header.number, at};
}

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* ---- files ---- */

static bool take_name(void *context, const char *name) {
    struct recovery *recovery = context;
    uint64_t number;
    if (segment_parse_name(name, &number)) {
        recovery->numbers = spool_grow(recovery->numbers, recovery->count + 1, sizeof *recovery->numbers);
        recovery->numbers[recovery->count++] = number;
    }
    return true;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Takes the segment into the set; `kind` says what it is. */
static bool open_segment(struct recovery *recovery, uint64_t number, enum segment_kind *kind, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL) {
        abort();
    }
    segment->header.number = number;
    segment->uses = 1; /* the recovery */
    segment->next = spool->segments;
    spool->segments = segment;
    spool->segment_count++;
    struct disk_file *file = segment_file_take(spool, segment, error);
    if (file == NULL) {
        return false;
    }
    struct spool_segment_header found = {0};
    bool good = segment_read_header(file, number, kind, &found, error);
    segment_file_give(spool, segment);
    if (good) {
        spool->last_number = larger(spool->last_number, larger(number, found.number));
        spool->next_upload = larger(spool->next_upload, found.next_upload);
        spool->file_bytes += found.segment_bytes;
        segment->header = found;
        segment->header.number = number;
        segment->end = spool_first_frame();
    }
    return good;
}

/* ---- frames ---- */

/* The payload that the frame belongs to; NULL when a later upload of the same id is known. */
static struct payload *payload_of(struct payload_spool *spool, const struct spool_frame *frame) {
    struct payload *payload = payload_find(spool, &frame->payload_id);
    if (payload != NULL && payload->upload > frame->upload) {
        return NULL;
    }
    if (payload != NULL && payload->upload < frame->upload) {
        payload_remove(spool, payload);
        payload = NULL;
    }
    return payload != NULL ? payload : payload_add(spool, &frame->payload_id, frame->upload);
}

/* The text up to the next zero byte; false when there is none. */
static bool take_text(struct bytes *body, struct bytes *text) {
    const uint8_t *end = body->size > 0 ? memchr(body->data, 0, body->size) : NULL;
    if (end == NULL) {
        return false;
    }
    *text = bytes_of(body->data, (size_t)(end - body->data));
    *body = bytes_of(end + 1, body->size - text->size - 1);
    return true;
}

static void take_names(struct payload *payload, const struct spool_frame *frame, struct bytes body) {
    struct bytes bucket;
    struct bytes key;
    if (!take_text(&body, &bucket) || !take_text(&body, &key)) {
        return;
    }
    payload_name(payload, bucket, key, (int64_t)frame->number);
    if (body.size == sizeof payload->upload_id.raw) {
        memcpy(payload->upload_id.raw, body.data, body.size);
    }
}

/* Goes back to where it goes on: behind `offset` stands what an earlier start found torn. */
static void cut_back(struct payload_spool *spool, struct payload *payload, uint64_t offset) {
    size_t count = payload->extents.count;
    while (count > 0 && extent_list_get(&payload->extents, count - 1).payload_offset >= offset) {
        count--;
    }
    payload_cut(spool, payload, count);
}

/* While it is recovered, size_bytes is where the extents end. */
static void take_data(struct payload_spool *spool, struct payload *payload, struct segment *segment,
                      const struct spool_frame *frame, uint64_t at) {
    cut_back(spool, payload, frame->number);
    payload->complete = false; /* where it was finished and not committed, and went on */
    if (frame->body_bytes == 0) {
        return;
    }
    struct extent extent = {segment, at + SPOOL_HEADER_BYTES + frame->gap_bytes, frame->number, frame->body_bytes,
                            frame->crc32c};
    payload_add_extent(spool, payload, &extent);
    payload->size_bytes = frame->number + frame->body_bytes;
}

static void take_end(struct payload_spool *spool, struct payload *payload, const struct spool_frame *frame) {
    cut_back(spool, payload, frame->number);
    payload->size_bytes = frame->number;
    payload->crc32c = frame->crc32c;
    payload->complete = true;
}

static void take_frame(struct recovery *recovery, struct segment *segment, const struct scanned_frame *scanned) {
    struct payload_spool *spool = recovery->spool;
    const struct spool_frame *frame = &scanned->frame;
    spool->next_upload = larger(spool->next_upload, frame->upload + 1);
    struct payload *payload = payload_of(spool, frame);
    if (payload == NULL) {
        return;
    }
    payload_use_segment(payload, segment);
    if (frame->type == SPOOL_FRAME_BEGIN) {
        take_names(payload, frame, scanned->names);
    } else if (frame->type == SPOOL_FRAME_DATA) {
        take_data(spool, payload, segment, frame, scanned->at);
    } else {
        take_end(spool, payload, frame);
    }
}

/* Takes all the frames of a segment; `sealed` says whether it ends with a seal. */
static bool scan_segment(struct recovery *recovery, struct segment *segment, bool *sealed, struct error *error) {
    struct disk_file *file = segment_file_take(recovery->spool, segment, error);
    if (file == NULL) {
        return false;
    }
    struct segment_scan scan;
    struct scanned_frame scanned;
    bool good;
    bool found = true;
    *sealed = false;
    segment_scan_start(&scan, file, &segment->header);
    while ((good = segment_scan_next(&scan, &scanned, &found, error)) && found && !*sealed) {
        if (scanned.after_hole) {
            add_hole(recovery, segment, scanned.hole_at);
        }
        if (scanned.names_lost) {
            add_hole(recovery, segment, scanned.at);
        }
        if (scanned.frame.flushed > 0) {
            struct log_place claimed = {segment->header.number, scanned.frame.flushed};
            recovery->durable = is_before(recovery->durable, claimed) ? claimed : recovery->durable;
        }
        if (scanned.frame.type == SPOOL_FRAME_SEAL) {
            *sealed = true;
        } else {
            take_frame(recovery, segment, &scanned);
        }
    }
    segment->end = scan.at;
    segment_scan_end(&scan);
    segment_file_give(recovery->spool, segment);
    return good;
}

/* What the process wrote but the disk may not have yet is flushed before the seal says so. */
static bool seal_segment(struct recovery *recovery, struct segment *segment, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    add_hole(recovery, segment, segment->end);
    segment->dirty = true;
    spool->appended++; /* so that there is something to flush */
    if (!spool_flush(spool, spool->appended, error)) {
        return false;
    }
    return spool_seal(spool, segment, error);
}

/* ---- after the last segment ---- */

static bool extent_is_whole(struct payload_spool *spool, const struct extent *extent, bool *whole,
                            struct error *error) {
    uint8_t *data = spool_grow(NULL, 1, extent->data_bytes);
    bool readable = spool_read_extent(spool, extent, data, whole, error);
    free(data);
    return readable;
}

/* How many extents from the first on follow on each other and are whole; data that is known to
 * have come to the disk is not read. */
static bool count_whole(struct recovery *recovery, const struct payload *payload, size_t *count, struct error *error) {
    size_t first = payload_whole_extents(payload);
    *count = first;
    for (size_t i = first; i > 0; i--) {
        struct extent extent = extent_list_get(&payload->extents, i - 1);
        struct log_place place = {extent.segment->header.number, extent.data_at};
        bool whole;
        if (is_before(place, recovery->durable)) {
            break; /* so are those before it */
        }
        if (!extent_is_whole(recovery->spool, &extent, &whole, error)) {
            return false;
        }
        *count = whole ? *count : i - 1;
    }
    return true;
}

static bool settle_complete(struct recovery *recovery, struct payload *payload, struct error *error) {
    size_t count;
    if (!count_whole(recovery, payload, &count, error)) {
        return false;
    }
    payload->damaged = count < payload->extents.count || payload->spooled_bytes != payload->size_bytes;
    recovery->partial += payload->damaged ? 1 : 0;
    return true;
}

/* An upload that broke off waits for its producer, who is told how much of it is left. */
static bool settle_unfinished(struct recovery *recovery, struct payload *payload, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    size_t count;
    if (!count_whole(recovery, payload, &count, error)) {
        return false;
    }
    payload_cut(spool, payload, count);
    struct partial *other = partial_find(spool, &payload->upload_id);
    if (payload->spooled_bytes == 0 || (other != NULL && other->payload->upload > payload->upload)) {
        payload_remove(spool, payload);
        return true;
    }
    if (other != NULL) {
        payload_remove(spool, other->payload);
    }
    struct partial *partial = partial_add(spool, payload);
    partial->unverified = true;
    return true;
}

/* An upload without an end and without an upload id is begun again by its producer. But where
 * frames were lost to damage, the end of any may be one of them; then who wants the payload is to
 * hear of that. */
static bool settle_payloads(struct recovery *recovery, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    struct payload *payload, *next;
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (payload->complete) {
            if (!settle_complete(recovery, payload, error)) {
                return false;
            }
        } else if (recovery->damages > 0) {
            payload->complete = true;
            payload->damaged = true;
        } else if (uuid_is_zero(&payload->upload_id)) {
            payload_remove(spool, payload);
        }
    }
    return true;
}

/* Apart from the others, since one may take another one out of the table. */
static bool settle_uploads(struct recovery *recovery, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    size_t count = 0;
    struct uuid *ids = spool_grow(NULL, HASH_COUNT(spool->payloads) + 1, sizeof *ids);
    struct payload *payload, *next;
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (!payload->complete) {
            ids[count++] = payload->id;
        }
    }
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        payload = payload_find(spool, &ids[i]);
        good = payload == NULL || settle_unfinished(recovery, payload, error);
    }
    free(ids);
    struct partial *partial, *next_partial;
    HASH_ITER(hh, spool->partials, partial, next_partial) {
        partial_suspend(spool, partial);
    }
    return good;
}

/* What a killed process had not flushed yet may be built upon from now on, so it is flushed. */
static void mark_tail_dirty(struct recovery *recovery) {
    struct payload_spool *spool = recovery->spool;
    for (struct segment *segment = spool->segments; segment != NULL; segment = segment->next) {
        if (segment->header.number >= recovery->durable.number && segment->end > spool_first_frame()) {
            segment->dirty = true;
        } else {
            segment->durable = segment->end;
        }
    }
    spool->appended++; /* so that there is something to flush */
}

static void count_damages(struct recovery *recovery) {
    for (size_t i = 0; i < recovery->hole_count; i++) {
        struct log_place hole = recovery->holes[i];
        if (is_before(hole, recovery->durable) && recovery->damages++ < DAMAGES_LOGGED) {
            log_warn("spool_damaged", LOG_INT("segment", hole.number), LOG_INT("offset", hole.at),
                     LOG_STR("hint", "check the disk; payloads that lost bytes are reported when they are pulled"));
        }
    }
}

/* Lets go of the use that recovery had; segments without live bytes become free. */
static void drop_unused(struct payload_spool *spool) {
    struct segment *segment = spool->segments;
    while (segment != NULL) {
        struct segment *next = segment->next;
        segment_unuse(spool, segment);
        segment = next;
    }
}

/* ---- all of it ---- */

/* The segments by their order in recovery->numbers. */
struct segment_list {
    struct segment **all;
    enum segment_kind *kinds;
    uint64_t oldest_live;
};

static bool open_all(struct recovery *recovery, struct segment_list *list, struct error *error) {
    for (size_t i = 0; i < recovery->count; i++) {
        if (!open_segment(recovery, recovery->numbers[i], &list->kinds[i], error)) {
            return false;
        }
        struct segment *segment = recovery->spool->segments;
        list->all[i] = segment;
        list->oldest_live = larger(list->oldest_live, segment->header.oldest_live);
        if (list->kinds[i] == SEGMENT_UNREADABLE) {
            segment->uses++; /* for good */
            log_error("spool_segment_unreadable", LOG_INT("segment", segment->header.number),
                      LOG_STR("hint", "both its headers are damaged; it is left alone and takes up room. Remove the "
                                      "file when you have no more use for it"));
        }
    }
    return true;
}

static bool scan_all(struct recovery *recovery, const struct segment_list *list, struct error *error) {
    for (size_t i = 0; i < recovery->count; i++) {
        struct segment *segment = list->all[i];
        bool sealed;
        if (list->kinds[i] != SEGMENT_WRITTEN || segment->header.number < list->oldest_live) {
            continue;
        }
        if (!scan_segment(recovery, segment, &sealed, error) || (!sealed && !seal_segment(recovery, segment, error))) {
            return false;
        }
    }
    return true;
}

static bool recover(struct recovery *recovery, struct segment_list *list, struct error *error) {
    struct payload_spool *spool = recovery->spool;
    if (!open_all(recovery, list, error) || !scan_all(recovery, list, error)) {
        return false;
    }
    count_damages(recovery);
    mark_tail_dirty(recovery);
    if (!spool_flush(spool, spool->appended, error) || !settle_payloads(recovery, error) ||
        !settle_uploads(recovery, error)) {
        return false;
    }
    drop_unused(spool);
    return true;
}

bool spool_recover(struct payload_spool *spool, struct error *error) {
    struct recovery recovery = {.spool = spool};
    struct segment_list list = {0};
    bool good = spool->disk->ops->list(spool->disk, "", take_name, &recovery, error);
    if (recovery.count > 0) {
        qsort(recovery.numbers, recovery.count, sizeof *recovery.numbers, compare_numbers);
    }
    list.all = spool_grow(NULL, recovery.count + 1, sizeof *list.all);
    list.kinds = spool_grow(NULL, recovery.count + 1, sizeof *list.kinds);
    good = good && recover(&recovery, &list, error);
    if (good) {
        log_info("spool_opened", LOG_INT("payloads", spool->live_payloads), LOG_INT("bytes", spool->live_bytes),
                 LOG_INT("segments", spool->segment_count), LOG_INT("damaged_places", recovery.damages),
                 LOG_INT("partial_payloads", recovery.partial), LOG_INT("broken_off_uploads", spool->idle_uploads));
    }
    free(list.all);
    free(list.kinds);
    free(recovery.numbers);
    free(recovery.holes);
    return good;
}
