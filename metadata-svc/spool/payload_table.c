/* What the spool knows of its payloads, in memory only: the segments tell it anew at start. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "metadata-svc/spool/spool_parts.h"

void *spool_grow(void *array, size_t count, size_t item_bytes) {
    void *grown = realloc(array, count * item_bytes);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

static char *copy_text(struct bytes text) {
    char *copy = strndup((const char *)text.data, text.size);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

struct payload *payload_find(struct payload_spool *spool, const struct uuid *id) {
    struct payload *payload = NULL;
    HASH_FIND(hh, spool->payloads, id->raw, sizeof id->raw, payload);
    return payload;
}

struct payload *payload_add(struct payload_spool *spool, const struct uuid *id, uint64_t upload) {
    struct payload *payload = calloc(1, sizeof *payload);
    if (payload == NULL) {
        abort();
    }
    payload->id = *id;
    payload->upload = upload;
    payload->uses = 1;
    HASH_ADD(hh, spool->payloads, id.raw, sizeof payload->id.raw, payload);
    spool->live_payloads++;
    return payload;
}

void payload_name(struct payload *payload, struct bytes bucket, struct bytes key, int64_t create_unix_us) {
    free(payload->bucket);
    free(payload->key);
    payload->bucket = copy_text(bucket);
    payload->key = copy_text(key);
    payload->create_unix_us = create_unix_us;
    if (payload->spooled_bytes == 0) {
        payload->bucket_key = fair_share_key(bucket);
    }
}

/* Frames of a payload come in log order, so a new segment shows as a change from the last one. */
void payload_use_segment(struct payload *payload, struct segment *segment) {
    if (payload->segment_count > 0 && payload->segments[payload->segment_count - 1] == segment) {
        return;
    }
    payload->segments = spool_grow(payload->segments, payload->segment_count + 1, sizeof *payload->segments);
    payload->segments[payload->segment_count++] = segment;
    segment->uses++;
}

static void give_bytes(struct payload_spool *spool, const struct payload *payload, uint64_t bytes) {
    spool->live_bytes -= bytes;
    if (bytes > 0) {
        fair_share_give(spool->bucket_bytes, fair_share_find(spool->bucket_bytes, payload->bucket_key), bytes);
    }
}

void payload_add_extent(struct payload_spool *spool, struct payload *payload, const struct extent *extent) {
    extent_list_add(&payload->extents, extent);
    payload->spooled_bytes += extent->data_bytes;
    spool->live_bytes += extent->data_bytes;
    if (extent->data_bytes > 0) {
        fair_share_count(spool->bucket_bytes, payload->bucket_key, extent->data_bytes);
    }
}

/* ---- the bytes of an unfinished one ---- */

size_t payload_whole_extents(const struct payload *payload) {
    uint64_t whole = 0;
    size_t count = 0;
    while (count < payload->extents.count) {
        struct extent extent = extent_list_get(&payload->extents, count);
        if (extent.payload_offset != whole) {
            break;
        }
        whole += extent.data_bytes;
        count++;
    }
    return count;
}

void payload_cut(struct payload_spool *spool, struct payload *payload, size_t count) {
    for (size_t i = payload->extents.count; i > count; i--) {
        uint32_t data_bytes = extent_list_get(&payload->extents, i - 1).data_bytes;
        payload->spooled_bytes -= data_bytes;
        give_bytes(spool, payload, data_bytes);
    }
    if (count < payload->extents.count) {
        extent_list_cut(&payload->extents, count);
    }
}

uint32_t payload_join_crc32c(const struct payload *payload) {
    uint32_t crc = 0;
    uint32_t shift = 0;
    uint32_t shift_bytes = 0;
    for (size_t i = 0; i < payload->extents.count; i++) {
        struct extent extent = extent_list_get(&payload->extents, i);
        if (extent.data_bytes != shift_bytes) {
            shift = crc32c_shift(extent.data_bytes);
            shift_bytes = extent.data_bytes;
        }
        crc = crc32c_join(crc, extent.data_crc32c, shift);
    }
    return crc;
}

/* ---- the end of one ---- */

static void payload_free(struct payload *payload) {
    free(payload->bucket);
    free(payload->key);
    extent_list_free(&payload->extents);
    free(payload->segments);
    free(payload);
}

static void drop_segments(struct payload_spool *spool, struct payload *payload) {
    while (payload->segment_count > 0) {
        segment_unuse(spool, payload->segments[--payload->segment_count]);
    }
}

void payload_unuse(struct payload_spool *spool, struct payload *payload) {
    assert(payload->uses > 0);
    if (--payload->uses == 0) {
        drop_segments(spool, payload);
        payload_free(payload);
    }
}

void payload_remove(struct payload_spool *spool, struct payload *payload) {
    if (payload->partial != NULL) {
        partial_end(spool, payload->partial);
    }
    HASH_DEL(spool->payloads, payload);
    spool->live_payloads--;
    give_bytes(spool, payload, payload->spooled_bytes);
    payload_unuse(spool, payload);
}

void payload_give_up(struct payload_spool *spool, struct payload *payload) {
    assert(!payload->complete);
    payload->given_up = true;
    if (payload->uses <= 2) { /* the table's, and who uploads it: nobody reads it */
        drop_segments(spool, payload);
    }
    payload_remove(spool, payload);
}

void payload_release(struct payload_spool *spool, struct payload *payload) {
    if (payload->released) {
        return;
    }
    if (spool->holds == 0) {
        payload_remove(spool, payload);
        return;
    }
    payload->released = true;
    payload->next_released = spool->released;
    spool->released = payload;
}

void payload_drop_released(struct payload_spool *spool) {
    while (spool->released != NULL) {
        struct payload *payload = spool->released;
        spool->released = payload->next_released;
        payload_remove(spool, payload);
    }
}

void payload_describe(const struct payload *payload, struct payload_info *info) {
    *info = (struct payload_info){
        .payload_id = payload->id,
        .upload_id = payload->upload_id,
        .size_bytes = payload->size_bytes,
        .crc32c = payload->crc32c,
        .create_unix_us = payload->create_unix_us,
        .damaged = payload->damaged,
    };
    snprintf(info->bucket, sizeof info->bucket, "%s", payload->bucket != NULL ? payload->bucket : "");
    snprintf(info->key, sizeof info->key, "%s", payload->key != NULL ? payload->key : "");
}

void payload_table_free(struct payload_spool *spool) {
    struct payload *payload, *next;
    HASH_ITER(hh, spool->payloads, payload, next) {
        if (payload->partial != NULL) {
            partial_end(spool, payload->partial);
        }
        HASH_DEL(spool->payloads, payload);
        payload_free(payload);
    }
}
