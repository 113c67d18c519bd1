#include "object-svc/cold/cold_sidecar.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/names.h"
#include "common/checksum/crc32c.h"
#include "object-svc/hot/block_sums.h"

enum {
    FORMAT_VERSION = 1,
    SMALLEST_BLOCK_BYTES = 256 * 1024,
    LARGEST_BLOCK_BYTES = 4 * 1024 * 1024,
    MANY_BLOCKS = 16384,
    CRC_TEXT_BYTES = 8,
};

uint32_t cold_sidecar_block_bytes(uint64_t size_bytes) {
    uint32_t block_bytes = SMALLEST_BLOCK_BYTES;
    while (block_bytes < LARGEST_BLOCK_BYTES && block_sums_count(size_bytes, block_bytes) > MANY_BLOCKS) {
        block_bytes *= 2;
    }
    return block_bytes;
}

static json_t *hex_string(struct bytes data) {
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(data.size * 2 + 1);
    if (text == NULL) {
        abort();
    }
    for (size_t i = 0; i < data.size; i++) {
        text[2 * i] = digits[data.data[i] >> 4];
        text[2 * i + 1] = digits[data.data[i] & 15];
    }
    json_t *string = json_stringn(text, data.size * 2);
    free(text);
    return string;
}

static json_t *crc_string(uint32_t crc) {
    return json_sprintf("%08" PRIx32, crc);
}

/* The block checksums one after the other, each as the eight digits of its number. */
static json_t *sums_string(struct bytes sums) {
    size_t count = sums.size / sizeof(uint32_t);
    char *text = malloc(count * CRC_TEXT_BYTES + 1);
    if (text == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(text + i * CRC_TEXT_BYTES, CRC_TEXT_BYTES + 1, "%08" PRIx32,
                 get_le32(sums.data + i * sizeof(uint32_t)));
    }
    json_t *string = json_stringn(text, count * CRC_TEXT_BYTES);
    free(text);
    return string;
}

/* The descriptor as a JSON object, where reading it back gives the same bytes; else NULL. */
static json_t *readable_descriptor(struct bytes descriptor) {
    /* In the depth that it will have in the sidecar, since the parser limits that. */
    static const char begin[] = "{\"descriptor\":";
    struct buffer wrapped = {0};
    buffer_append(&wrapped, begin, sizeof begin - 1);
    buffer_append_bytes(&wrapped, descriptor);
    buffer_append_u8(&wrapped, '}');
    json_t *root = json_loadb((const char *)wrapped.data, wrapped.size, JSON_REJECT_DUPLICATES, NULL);
    buffer_free(&wrapped);
    json_t *object = json_incref(json_object_get(root, "descriptor"));
    char *again = json_is_object(object) ? json_dumps(object, JSON_COMPACT) : NULL;
    bool same = again != NULL && bytes_equal(bytes_of_string(again), descriptor);
    free(again);
    json_decref(root);
    if (!same) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static void set_descriptor(json_t *root, struct bytes descriptor) {
    json_t *readable = readable_descriptor(descriptor);
    if (readable != NULL) {
        json_object_set_new(root, "descriptor", readable);
    } else if (descriptor.size > 0) {
        json_object_set_new(root, "descriptor_hex", hex_string(descriptor));
    }
}

/* Over the compact form of all the other members, in their order. */
static uint32_t own_crc(const json_t *root) {
    char *text = json_dumps(root, JSON_COMPACT);
    if (text == NULL) {
        abort();
    }
    uint32_t crc = crc32c(bytes_of_string(text));
    free(text);
    return crc;
}

bool cold_sidecar_encode(const struct cold_sidecar *sidecar, struct buffer *out, struct error *error) {
    const struct provenance *provenance = &sidecar->provenance;
    char payload_id[UUID_TEXT_BYTES];
    uuid_print(&provenance->payload_id, payload_id);
    json_t *content_type = json_string(provenance->content_type == NULL ? "" : provenance->content_type);
    if (content_type == NULL) {
        return error_set_field(error, "content_type", "BAD_CONTENT_TYPE", "a content type is UTF-8");
    }
    json_t *root = json_object();
    json_object_set_new(root, "format", json_integer(FORMAT_VERSION));
    json_object_set_new(root, "bucket", json_string(provenance->bucket));
    json_object_set_new(root, "key", json_string(provenance->key));
    json_object_set_new(root, "version", json_integer(provenance->version));
    json_object_set_new(root, "payload_id", json_string(payload_id));
    json_object_set_new(root, "content_type", content_type);
    set_descriptor(root, provenance->descriptor);
    json_object_set_new(root, "size", json_integer((json_int_t)provenance->size_bytes));
    json_object_set_new(root, "crc32c", crc_string(provenance->crc32c));
    if (provenance->has_sha256) {
        json_object_set_new(root, "sha256", hex_string(bytes_of(provenance->sha256, PROVENANCE_SHA256_BYTES)));
    }
    json_object_set_new(root, "commit_unix_us", json_integer(provenance->commit_unix_us));
    json_object_set_new(root, "store_unix_us", json_integer(provenance->store_unix_us));
    json_object_set_new(root, "block_bytes", json_integer(sidecar->block_bytes));
    json_object_set_new(root, "block_crc32c", sums_string(sidecar->block_sums));
    json_object_set_new(root, "sidecar_crc32c", crc_string(own_crc(root)));
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (text == NULL) {
        return error_set(error, ERROR_INTERNAL, "SIDECAR_FAILED", "the provenance could not be written as JSON");
    }
    buffer_append(out, text, strlen(text));
    buffer_append_u8(out, '\n');
    free(text);
    return true;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal digits as bytes. */
static bool read_hex(const json_t *string, struct arena *arena, struct bytes *out) {
    size_t length = json_string_length(string);
    const char *text = json_string_value(string);
    if (text == NULL || length % 2 != 0) {
        return false;
    }
    uint8_t *data = arena_alloc(arena, length / 2 + 1);
    for (size_t i = 0; i < length / 2; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        data[i] = (uint8_t)(high << 4 | low);
    }
    *out = bytes_of(data, length / 2);
    return true;
}

static bool read_crc(const json_t *string, struct arena *arena, uint32_t *crc) {
    struct bytes raw;
    if (!read_hex(string, arena, &raw) || raw.size != sizeof *crc) {
        return false;
    }
    *crc = (uint32_t)raw.data[0] << 24 | (uint32_t)raw.data[1] << 16 | (uint32_t)raw.data[2] << 8 | raw.data[3];
    return true;
}

/* The numbers are written with their first digit first; in memory they are little-endian. */
static bool read_sums(const json_t *string, struct arena *arena, struct bytes *out) {
    struct bytes raw;
    if (!read_hex(string, arena, &raw) || raw.size % sizeof(uint32_t) != 0) {
        return false;
    }
    uint8_t *sums = arena_alloc(arena, raw.size + 1);
    for (size_t i = 0; i < raw.size; i++) {
        sums[i] = raw.data[i - i % 4 + 3 - i % 4];
    }
    *out = bytes_of(sums, raw.size);
    return true;
}

static bool read_string(const json_t *root, const char *member, struct arena *arena, const char **out) {
    const char *text = json_string_value(json_object_get(root, member));
    *out = text == NULL ? NULL : arena_strdup(arena, text);
    return text != NULL;
}

static bool read_integer(const json_t *root, const char *member, int64_t least, int64_t *out) {
    const json_t *number = json_object_get(root, member);
    *out = json_integer_value(number);
    return json_is_integer(number) && *out >= least;
}

static bool read_descriptor(const json_t *root, struct arena *arena, struct bytes *out) {
    const json_t *hex = json_object_get(root, "descriptor_hex");
    const json_t *object = json_object_get(root, "descriptor");
    *out = (struct bytes){0};
    if (hex != NULL) {
        return read_hex(hex, arena, out);
    }
    if (object != NULL) {
        char *text = json_dumps(object, JSON_COMPACT);
        if (text == NULL) {
            return false;
        }
        *out = arena_copy(arena, bytes_of_string(text));
        free(text);
    }
    return true;
}

static bool read_sha256(const json_t *root, struct arena *arena, struct provenance *provenance) {
    const json_t *member = json_object_get(root, "sha256");
    struct bytes raw;
    if (member == NULL) {
        return true;
    }
    if (!read_hex(member, arena, &raw) || raw.size != PROVENANCE_SHA256_BYTES) {
        return false;
    }
    provenance->has_sha256 = true;
    memcpy(provenance->sha256, raw.data, raw.size);
    return true;
}

static bool read_provenance(const json_t *root, struct arena *arena, struct provenance *provenance) {
    const char *payload_id;
    int64_t size;
    struct error ignored;
    if (!read_string(root, "bucket", arena, &provenance->bucket) ||
        !name_check_bucket(provenance->bucket, "bucket", &ignored) ||
        !read_string(root, "key", arena, &provenance->key) || !name_check_key(provenance->key, "key", &ignored) ||
        !read_string(root, "payload_id", arena, &payload_id) || !uuid_parse_text(payload_id, &provenance->payload_id) ||
        !read_string(root, "content_type", arena, &provenance->content_type) ||
        !read_integer(root, "version", 1, &provenance->version) || !read_integer(root, "size", 0, &size) ||
        !read_integer(root, "commit_unix_us", INT64_MIN, &provenance->commit_unix_us) ||
        !read_integer(root, "store_unix_us", INT64_MIN, &provenance->store_unix_us)) {
        return false;
    }
    provenance->size_bytes = (uint64_t)size;
    return read_crc(json_object_get(root, "crc32c"), arena, &provenance->crc32c) &&
           read_descriptor(root, arena, &provenance->descriptor) && read_sha256(root, arena, provenance);
}

static bool check_own_crc(json_t *root, struct arena *arena) {
    uint32_t crc;
    bool ok = read_crc(json_object_get(root, "sidecar_crc32c"), arena, &crc);
    json_object_del(root, "sidecar_crc32c");
    return ok && own_crc(root) == crc;
}

static bool read_members(json_t *root, struct arena *arena, struct cold_sidecar *out) {
    int64_t format;
    int64_t block_bytes;
    if (!json_is_object(root) || !check_own_crc(root, arena) ||
        !read_integer(root, "format", FORMAT_VERSION, &format) || format != FORMAT_VERSION ||
        !read_integer(root, "block_bytes", 1, &block_bytes) || block_bytes > LARGEST_BLOCK_BYTES ||
        !read_provenance(root, arena, &out->provenance) ||
        !read_sums(json_object_get(root, "block_crc32c"), arena, &out->block_sums)) {
        return false;
    }
    out->block_bytes = (uint32_t)block_bytes;
    return out->block_sums.size / sizeof(uint32_t) == block_sums_count(out->provenance.size_bytes, out->block_bytes);
}

bool cold_sidecar_decode(struct bytes text, struct arena *arena, struct cold_sidecar *out) {
    *out = (struct cold_sidecar){0};
    json_t *root = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    bool ok = root != NULL && read_members(root, arena, out);
    json_decref(root);
    return ok;
}
