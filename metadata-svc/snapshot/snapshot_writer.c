#include "metadata-svc/snapshot/snapshot_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/checksum/crc32c.h"
#include "metadata-svc/snapshot/spooled_entries.h"
#include "metadata-svc/store/layout.h"

struct writing {
    struct kv *kv;
    struct payload_spool *spool;
    const struct snapshot_sink *sink;
    struct snapshot_summary *summary;
    uint64_t chunks;
    struct buffer body;
    uint8_t *piece; /* of a payload */
};

/* ---- bytes out ---- */

static bool put(struct writing *writing, struct bytes data, struct error *error) {
    writing->summary->crc32c = crc32c_extend(writing->summary->crc32c, data);
    writing->summary->size_bytes += (int64_t)data.size;
    return writing->sink->write(writing->sink->self, data, error);
}

static bool put_chunk(struct writing *writing, enum snapshot_chunk_type type, struct bytes body, struct error *error) {
    uint8_t head[SNAPSHOT_CHUNK_HEADER_BYTES];
    struct snapshot_chunk_header header = {
        .type = type,
        .number = writing->chunks++,
        .body_bytes = (uint32_t)body.size,
        .body_crc32c = crc32c(body),
    };
    snapshot_chunk_header_encode(&header, head);
    return put(writing, bytes_of(head, sizeof head), error) && (body.size == 0 || put(writing, body, error));
}

/* The chunk that was gathered. */
static bool put_body(struct writing *writing, enum snapshot_chunk_type type, struct error *error) {
    bool good = put_chunk(writing, type, buffer_bytes(&writing->body), error);
    buffer_clear(&writing->body);
    return good;
}

/* ---- payloads ---- */

/* The spool does not have what the state wants. Either the state has passed and the payload was
 * let go, or the bytes are lost: then that is how they are kept. */
static bool explain_missing(struct writing *writing, const struct uuid *id, struct error *error) {
    struct arena arena;
    struct payload_entry entry;
    bool found;
    arena_init(&arena);
    bool good = record_store_get_payload(kv_lookup_of(writing->kv), id, &arena, &entry, &found, error);
    if (good && !(found && entry.place == PAYLOAD_SPOOLED)) {
        good = error_set(error, ERROR_ABORTED, "SNAPSHOT_OVERTAKEN",
                         "the spool ran full and let a payload go before the snapshot had it: take another one");
    }
    arena_free(&arena);
    return good;
}

static bool put_lost(struct writing *writing, const struct uuid *id, const struct error *why, struct error *error) {
    char text[UUID_TEXT_BYTES];
    uuid_print(id, text);
    log_warn("snapshot_lacks_payload", LOG_STR("payload_id", text), LOG_ERROR(why),
             LOG_STR("hint", "its bytes cannot be read; write the record again"));
    writing->summary->totals.lost_payloads++;
    return put_chunk(writing, SNAPSHOT_LOST, (struct bytes){0}, error);
}

static bool put_lost_or_explain(struct writing *writing, const struct uuid *id, const struct error *why,
                                struct error *error) {
    return (why->code != ERROR_NOT_FOUND || explain_missing(writing, id, error)) && put_lost(writing, id, why, error);
}

static bool check_spooled(struct writing *writing, const struct uuid *id, const struct payload_entry *entry,
                          struct error *why) {
    struct payload_info info;
    if (!payload_spool_stat(writing->spool, id, &info, why)) {
        return false;
    }
    if (info.damaged || info.size_bytes != (uint64_t)entry->size || info.crc32c != entry->crc32c) {
        return error_set(why, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "the spooled bytes are not those of the record");
    }
    return true;
}

static bool put_payload_bytes(struct writing *writing, const struct uuid *id, const struct payload_entry *entry,
                              struct error *error) {
    uint64_t size = (uint64_t)entry->size;
    struct error why = {0};
    if (!check_spooled(writing, id, entry, &why)) {
        return put_lost_or_explain(writing, id, &why, error);
    }
    for (uint64_t offset = 0; offset < size;) {
        size_t part = size - offset < SNAPSHOT_PIECE_BYTES ? (size_t)(size - offset) : SNAPSHOT_PIECE_BYTES;
        if (!payload_spool_read(writing->spool, id, offset, writing->piece, part, &why)) {
            return put_lost_or_explain(writing, id, &why, error);
        }
        if (!put_chunk(writing, SNAPSHOT_BYTES, bytes_of(writing->piece, part), error)) {
            return false;
        }
        offset += part;
    }
    writing->summary->totals.payloads++;
    writing->summary->totals.payload_bytes += entry->size;
    return true;
}

static bool put_payload(void *context, const struct uuid *id, const struct payload_entry *entry, struct error *error) {
    struct writing *writing = context;
    struct snapshot_payload payload = {
        .id = *id,
        .size_bytes = (uint64_t)entry->size,
        .crc32c = entry->crc32c,
        .bucket = entry->bucket,
        .key = entry->key,
    };
    snapshot_payload_append(&writing->body, &payload);
    return put_body(writing, SNAPSHOT_PAYLOAD, error) && put_payload_bytes(writing, id, entry, error);
}

/* ---- entries ---- */

static bool put_entries(struct writing *writing, struct kv_cursor *cursor, struct error *error) {
    const struct kv_ops *ops = cursor->ops;
    struct buffer *body = &writing->body;
    for (ops->cursor_seek(cursor, bytes_of("", 0)); ops->cursor_valid(cursor); ops->cursor_next(cursor)) {
        struct bytes key = ops->cursor_key(cursor);
        struct bytes value = ops->cursor_value(cursor);
        size_t more = SNAPSHOT_ENTRY_HEAD_BYTES + key.size + value.size;
        if (body->size > 0 && body->size + more > SNAPSHOT_CHUNK_BYTES && !put_body(writing, SNAPSHOT_ENTRIES, error)) {
            return false;
        }
        snapshot_entry_append(body, key, value);
        writing->summary->totals.entries++;
    }
    return ops->cursor_check(cursor, error) && (body->size == 0 || put_body(writing, SNAPSHOT_ENTRIES, error));
}

/* ---- the whole ---- */

static bool find_revision(struct kv_cursor *cursor, int64_t *revision, struct error *error) {
    static const uint8_t after = LAYOUT_CHANGE_PREFIX + 1;
    const struct kv_ops *ops = cursor->ops;
    ops->cursor_seek_before(cursor, bytes_of(&after, 1));
    bool there = ops->cursor_valid(cursor) && ops->cursor_key(cursor).data[0] == LAYOUT_CHANGE_PREFIX;
    *revision = there ? layout_number_of(ops->cursor_key(cursor)) : 0;
    return ops->cursor_check(cursor, error);
}

static bool put_header(struct writing *writing, struct error *error) {
    uint8_t head[SNAPSHOT_HEADER_BYTES];
    const struct snapshot_header *header = &writing->summary->header;
    snapshot_header_encode(header, head);
    return writing->sink->begin(writing->sink->self, header, error) && put(writing, bytes_of(head, sizeof head), error);
}

static bool put_end(struct writing *writing, struct error *error) {
    snapshot_end_append(&writing->body, &writing->summary->totals, writing->summary->crc32c);
    return put_body(writing, SNAPSHOT_END, error);
}

bool snapshot_write(struct kv *kv, struct payload_spool *spool, const char *shard, const struct clock *clock,
                    const struct snapshot_sink *sink, struct snapshot_summary *summary, struct error *error) {
    *summary = (struct snapshot_summary){.header.take_unix_us = clock_unix_us(clock)};
    snprintf(summary->header.shard, sizeof summary->header.shard, "%s", shard);
    struct writing writing = {.kv = kv, .spool = spool, .sink = sink, .summary = summary};
    writing.piece = malloc(SNAPSHOT_PIECE_BYTES);
    if (writing.piece == NULL) {
        abort();
    }
    payload_spool_hold(spool);
    struct kv_cursor *cursor = kv->ops->cursor_open_bulk(kv);
    bool good = find_revision(cursor, &summary->header.revision, error) && FAILPOINT("snapshot.write.before") &&
                put_header(&writing, error) && spooled_entries_each(cursor, put_payload, &writing, error) &&
                FAILPOINT("snapshot.payloads.after");
    payload_spool_let_go(spool);
    good = good && put_entries(&writing, cursor, error) && FAILPOINT("snapshot.entries.after") &&
           put_end(&writing, error) && FAILPOINT("snapshot.write.after");
    kv->ops->cursor_close(cursor);
    buffer_free(&writing.body);
    free(writing.piece);
    return good;
}
