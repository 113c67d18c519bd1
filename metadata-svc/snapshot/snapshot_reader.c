#include "metadata-svc/snapshot/snapshot_reader.h"

#include <inttypes.h>

#include "common/checksum/crc32c.h"

struct reading {
    const struct snapshot_source *source;
    const struct snapshot_visitor *visitor;
    struct snapshot_summary *summary;
    uint64_t chunks;
    struct buffer body;
    struct buffer last_key;

    /* The payload at hand. */
    bool in_payload;
    uint64_t left; /* of its bytes */
    uint64_t payload_size;
    uint32_t payload_crc32c; /* as it is to be */
    uint32_t crc32c;         /* of the bytes so far */
};

static bool corrupt(const struct reading *reading, const char *what, struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "SNAPSHOT_CORRUPT", "the snapshot is damaged before byte %" PRId64 ": %s",
                     reading->summary->size_bytes, what);
}

/* ---- bytes in ---- */

static bool take(struct reading *reading, void *out, size_t size, struct error *error) {
    int64_t got = reading->source->read(reading->source->self, out, size, error);
    if (got < 0) {
        return false;
    }
    reading->summary->size_bytes += got;
    reading->summary->crc32c = crc32c_extend(reading->summary->crc32c, bytes_of(out, (size_t)got));
    return (size_t)got == size || error_set(error, ERROR_DATA_LOSS, "SNAPSHOT_TRUNCATED",
                                            "the snapshot ends too early, after %" PRId64 " bytes: it was cut off",
                                            reading->summary->size_bytes);
}

/* In pieces, so that a long body takes memory only as its bytes come. */
static bool take_body(struct reading *reading, const struct snapshot_chunk_header *header, struct error *error) {
    size_t left = header->body_bytes;
    buffer_clear(&reading->body);
    while (left > 0) {
        size_t part = left < SNAPSHOT_PIECE_BYTES ? left : SNAPSHOT_PIECE_BYTES;
        if (!take(reading, buffer_reserve(&reading->body, part), part, error)) {
            return false;
        }
        reading->body.size += part;
        left -= part;
    }
    return crc32c(buffer_bytes(&reading->body)) == header->body_crc32c ||
           corrupt(reading, "a chunk does not match its checksum", error);
}

/* ---- payloads ---- */

static bool end_payload(struct reading *reading, bool whole, struct error *error) {
    struct snapshot_totals *totals = &reading->summary->totals;
    reading->in_payload = false;
    if (whole && reading->crc32c != reading->payload_crc32c) {
        return corrupt(reading, "a payload does not match its checksum", error);
    }
    totals->payloads += whole ? 1 : 0;
    totals->payload_bytes += whole ? (int64_t)reading->payload_size : 0;
    totals->lost_payloads += whole ? 0 : 1;
    return reading->visitor->payload_end(reading->visitor->self, whole, error);
}

/* It ends with the next chunk that is neither its bytes nor says that they are lost. */
static bool begin_payload(struct reading *reading, struct bytes body, struct error *error) {
    struct snapshot_payload payload;
    if (!snapshot_payload_decode(body, &payload)) {
        return corrupt(reading, "a payload has no proper beginning", error);
    }
    reading->in_payload = true;
    reading->left = payload.size_bytes;
    reading->payload_size = payload.size_bytes;
    reading->payload_crc32c = payload.crc32c;
    reading->crc32c = 0;
    return reading->visitor->payload_begin(reading->visitor->self, &payload, error);
}

static bool take_payload_bytes(struct reading *reading, struct bytes body, struct error *error) {
    if (!reading->in_payload || body.size == 0 || body.size > reading->left) {
        return corrupt(reading, "there are bytes that belong to no payload", error);
    }
    reading->left -= body.size;
    reading->crc32c = crc32c_extend(reading->crc32c, body);
    return reading->visitor->payload_bytes(reading->visitor->self, body, error);
}

static bool take_lost(struct reading *reading, struct bytes body, struct error *error) {
    if (!reading->in_payload || body.size > 0) {
        return corrupt(reading, "a payload is lost that never began", error);
    }
    return end_payload(reading, false, error);
}

/* Before a chunk that does not go on with the payload at hand. */
static bool leave_payload(struct reading *reading, struct error *error) {
    if (!reading->in_payload) {
        return true;
    }
    return reading->left == 0 ? end_payload(reading, true, error) : corrupt(reading, "a payload is too short", error);
}

/* ---- entries ---- */

static int compare(struct bytes a, struct bytes b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static bool take_entry(struct reading *reading, struct bytes key, struct bytes value, struct error *error) {
    if (compare(key, buffer_bytes(&reading->last_key)) <= 0) {
        return corrupt(reading, "entries are not in order", error);
    }
    buffer_clear(&reading->last_key);
    buffer_append_bytes(&reading->last_key, key);
    reading->summary->totals.entries++;
    return reading->visitor->entry(reading->visitor->self, key, value, error);
}

static bool take_entries(struct reading *reading, struct bytes body, struct error *error) {
    struct bytes key;
    struct bytes value;
    while (body.size > 0) {
        if (!snapshot_entry_take(&body, &key, &value)) {
            return corrupt(reading, "an entry is cut", error);
        }
        if (!take_entry(reading, key, value, error)) {
            return false;
        }
    }
    return reading->visitor->entries_end(reading->visitor->self, error);
}

/* ---- the whole ---- */

/* `crc`: of all before the chunk. */
static bool take_end(struct reading *reading, struct bytes body, uint32_t crc, struct error *error) {
    const struct snapshot_totals *found = &reading->summary->totals;
    struct snapshot_totals told;
    uint32_t told_crc;
    uint8_t behind;
    if (!snapshot_end_decode(body, &told, &told_crc) || told_crc != crc) {
        return corrupt(reading, "the whole does not match its checksum", error);
    }
    if (told.entries != found->entries || told.payloads != found->payloads ||
        told.payload_bytes != found->payload_bytes || told.lost_payloads != found->lost_payloads) {
        return corrupt(reading, "it does not hold as much as it says", error);
    }
    int64_t more = reading->source->read(reading->source->self, &behind, 1, error);
    return more == 0 || (more > 0 && corrupt(reading, "something stands behind its end", error));
}

static bool take_chunk(struct reading *reading, bool *end, struct error *error) {
    uint8_t head[SNAPSHOT_CHUNK_HEADER_BYTES];
    struct snapshot_chunk_header header;
    uint32_t crc_before = reading->summary->crc32c;
    if (!take(reading, head, sizeof head, error)) {
        return false;
    }
    if (!snapshot_chunk_header_decode(head, &header) || header.number != reading->chunks++) {
        return corrupt(reading, "a chunk has no proper beginning", error);
    }
    if (!take_body(reading, &header, error)) {
        return false;
    }
    struct bytes body = buffer_bytes(&reading->body);
    *end = header.type == SNAPSHOT_END;
    switch (header.type) {
    case SNAPSHOT_BYTES:
        return take_payload_bytes(reading, body, error);
    case SNAPSHOT_LOST:
        return take_lost(reading, body, error);
    case SNAPSHOT_PAYLOAD:
        return leave_payload(reading, error) && begin_payload(reading, body, error);
    case SNAPSHOT_ENTRIES:
        return leave_payload(reading, error) && take_entries(reading, body, error);
    default:
        return leave_payload(reading, error) && take_end(reading, body, crc_before, error);
    }
}

static bool take_header(struct reading *reading, struct error *error) {
    uint8_t head[SNAPSHOT_HEADER_BYTES];
    struct snapshot_header *header = &reading->summary->header;
    return take(reading, head, sizeof head, error) && snapshot_header_decode(head, header, error);
}

bool snapshot_read(const struct snapshot_source *source, const struct snapshot_visitor *visitor,
                   struct snapshot_summary *summary, struct error *error) {
    *summary = (struct snapshot_summary){0};
    struct reading reading = {.source = source, .visitor = visitor, .summary = summary};
    bool end = false;
    bool good = take_header(&reading, error);
    while (good && !end) {
        good = take_chunk(&reading, &end, error);
    }
    buffer_free(&reading.body);
    buffer_free(&reading.last_key);
    return good;
}
