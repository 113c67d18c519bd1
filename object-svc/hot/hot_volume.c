#include "object-svc/hot/hot_volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/checksum/crc32c.h"

enum {
    FIRST_READ_BYTES = 2048, /* holds most headers whole */
    SEARCH_BYTES = 1024 * 1024,
    CHECK_BYTES = 1024 * 1024,
};

void hot_volume_name(uint64_t id, char name[VOLUME_NAME_BYTES]) {
    snprintf(name, VOLUME_NAME_BYTES, "volume-%016" PRIx64 ".wbv", id);
}

bool hot_volume_parse_name(const char *name, uint64_t *id) {
    char again[VOLUME_NAME_BYTES];
    if (sscanf(name, "volume-%16" SCNx64 ".wbv", id) != 1) {
        return false;
    }
    hot_volume_name(*id, again);
    return strcmp(name, again) == 0;
}

bool object_corrupt(struct error *error, const char *bucket, const char *key, int64_t version, const char *how) {
    error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "%s of bucket %s, version %" PRId64 ", key %s", how, bucket,
              version, key);
    error_set_detail(error, "object", "%s@%" PRId64 "/%s", bucket, version, key);
    return false;
}

/* Reads into the header buffer until it holds `size` bytes. False with nothing in the error
 * where the file ends before. */
static enum volume_read fill_header(struct disk_file *file, uint64_t offset, size_t size, struct buffer *header,
                                    struct error *error) {
    if (header->size >= size) {
        return VOLUME_READ_NEEDLE;
    }
    size_t missing = size - header->size;
    uint8_t *room = buffer_reserve(header, missing);
    int64_t got = file->ops->read(file, offset + header->size, room, missing, error);
    if (got < 0) {
        return VOLUME_READ_FAILED;
    }
    header->size += (size_t)got;
    return (size_t)got == missing ? VOLUME_READ_NEEDLE : VOLUME_READ_NONE;
}

enum volume_read hot_volume_read_needle(struct disk_file *file, uint64_t salt, uint64_t offset, uint64_t end,
                                        struct volume_needle *out, struct error *error) {
    buffer_clear(&out->header);
    if (offset >= end || end - offset < NEEDLE_FIXED_BYTES) {
        return VOLUME_READ_NONE;
    }
    size_t first = end - offset < FIRST_READ_BYTES ? (size_t)(end - offset) : FIRST_READ_BYTES;
    enum volume_read read = fill_header(file, offset, first, &out->header, error);
    if (read != VOLUME_READ_NEEDLE) {
        return read;
    }
    out->header_bytes = needle_header_size(buffer_bytes(&out->header));
    if (out->header_bytes == 0 || out->header_bytes > end - offset) {
        return VOLUME_READ_NONE;
    }
    read = fill_header(file, offset, out->header_bytes, &out->header, error);
    if (read != VOLUME_READ_NEEDLE) {
        return read;
    }
    if (!needle_decode(bytes_of(out->header.data, out->header_bytes), &out->names, &out->needle) ||
        out->needle.salt != salt || out->needle.offset != offset) {
        return VOLUME_READ_NONE;
    }
    out->bytes = needle_bytes(&out->needle);
    return out->bytes <= end - offset ? VOLUME_READ_NEEDLE : VOLUME_READ_NONE;
}

void volume_needle_free(struct volume_needle *needle) {
    buffer_free(&needle->header);
    buffer_free(&needle->names);
}

static bool payload_corrupt(void *context, uint64_t offset, struct error *error) {
    struct volume_payload *payload = context;
    char how[96];
    snprintf(how, sizeof how, "damaged bytes at %" PRIu64 " in hot volume %016" PRIx64, offset, payload->volume_id);
    const struct provenance *object = payload->provenance;
    return object_corrupt(error, object->bucket, object->key, object->version, how);
}

static bool payload_read(void *context, uint64_t offset, void *out, size_t size, struct error *error) {
    struct volume_payload *payload = context;
    int64_t got = payload->file->ops->read(payload->file, payload->payload_offset + offset, out, size, error);
    if (got < 0) {
        return false;
    }
    return (size_t)got == size || payload_corrupt(payload, offset + (uint64_t)got, error);
}

static bool payload_sums(void *context, uint64_t first, void *out, size_t count, struct error *error) {
    struct volume_payload *payload = context;
    size_t size = count * sizeof(uint32_t);
    int64_t got =
        payload->file->ops->read(payload->file, payload->sums_offset + first * sizeof(uint32_t), out, size, error);
    if (got < 0) {
        return false;
    }
    return (size_t)got == size || payload_corrupt(payload, payload->provenance->size_bytes, error);
}

void volume_payload_init(struct volume_payload *payload, struct disk_file *file, uint64_t volume_id,
                         const struct volume_needle *needle) {
    payload->file = file;
    payload->payload_offset = needle->needle.offset + needle->header_bytes;
    payload->sums_offset = payload->payload_offset + needle->needle.provenance.size_bytes;
    payload->provenance = &needle->needle.provenance;
    payload->volume_id = volume_id;
}

struct block_source volume_payload_source(struct volume_payload *payload) {
    return (struct block_source){
        .read = payload_read, .sums = payload_sums, .corrupt = payload_corrupt, .context = payload};
}

bool hot_volume_check_payload(struct disk_file *file, uint64_t volume_id, const struct volume_needle *needle,
                              bool *intact, struct error *error) {
    const struct provenance *provenance = &needle->needle.provenance;
    struct volume_payload payload;
    volume_payload_init(&payload, file, volume_id, needle);
    struct block_source source = volume_payload_source(&payload);
    struct block_reader reader;
    block_reader_start(&reader, &source, provenance->size_bytes, provenance->crc32c, needle->needle.block_bytes);
    uint8_t *chunk = malloc(CHECK_BYTES);
    if (chunk == NULL) {
        abort();
    }
    uint32_t whole = 0;
    uint64_t offset = 0;
    int64_t got;
    while ((got = block_reader_read(&reader, offset, chunk, CHECK_BYTES, error)) > 0) {
        whole = crc32c_extend(whole, bytes_of(chunk, (size_t)got));
        offset += (uint64_t)got;
    }
    free(chunk);
    block_reader_stop(&reader);
    if (got < 0 && error->code != ERROR_DATA_LOSS) {
        return false;
    }
    *intact = got == 0 && whole == provenance->crc32c;
    return true;
}

bool hot_volume_find_needle(struct disk_file *file, uint64_t salt, uint64_t offset, uint64_t end, uint64_t *found,
                            struct error *error) {
    struct volume_needle needle = {0};
    uint8_t *chunk = malloc(SEARCH_BYTES);
    if (chunk == NULL) {
        abort();
    }
    bool ok = true;
    *found = end;
    /* Chunks overlap by a needle's fixed part, so that none is missed on their border. */
    offset = (offset + NEEDLE_ALIGNMENT - 1) / NEEDLE_ALIGNMENT * NEEDLE_ALIGNMENT;
    while (ok && *found == end && offset < end && end - offset >= NEEDLE_FIXED_BYTES) {
        size_t size = end - offset < SEARCH_BYTES ? (size_t)(end - offset) : SEARCH_BYTES;
        int64_t got = file->ops->read(file, offset, chunk, size, error);
        ok = got >= 0;
        size_t at = 0;
        for (; ok && at + NEEDLE_FIXED_BYTES <= (uint64_t)(got < 0 ? 0 : got); at += NEEDLE_ALIGNMENT) {
            if (needle_header_size(bytes_of(chunk + at, NEEDLE_FIXED_BYTES)) == 0) {
                continue;
            }
            enum volume_read read = hot_volume_read_needle(file, salt, offset + at, end, &needle, error);
            if (read != VOLUME_READ_NONE) {
                ok = read == VOLUME_READ_NEEDLE;
                *found = offset + at;
                break;
            }
        }
        if (at == 0) {
            break;
        }
        offset += at;
    }
    free(chunk);
    volume_needle_free(&needle);
    return ok;
}
