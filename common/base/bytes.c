#include "common/base/bytes.h"

#include <endian.h>
#include <stdlib.h>

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer) {
    buffer->size = 0;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t extra) {
    /* Room for nothing is a pointer too, which memset and memcpy may be given. */
    if (buffer->data == NULL || buffer->capacity - buffer->size < extra) {
        size_t wanted = buffer->size + extra;
        if (wanted < extra) {
            abort();
        }
        size_t capacity = buffer->capacity == 0 ? 64 : buffer->capacity;
        while (capacity < wanted) {
            capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
        }
        uint8_t *grown = realloc(buffer->data, capacity);
        if (grown == NULL) {
            abort();
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size) {
    if (size > 0) {
        memcpy(buffer_reserve(buffer, size), data, size);
        buffer->size += size;
    }
}

void buffer_append_bytes(struct buffer *buffer, struct bytes bytes) {
    buffer_append(buffer, bytes.data, bytes.size);
}

void buffer_append_u8(struct buffer *buffer, uint8_t value) {
    buffer_append(buffer, &value, 1);
}

void buffer_append_le32(struct buffer *buffer, uint32_t value) {
    uint8_t raw[4];
    put_le32(raw, value);
    buffer_append(buffer, raw, sizeof raw);
}

void buffer_append_le64(struct buffer *buffer, uint64_t value) {
    uint8_t raw[8];
    put_le64(raw, value);
    buffer_append(buffer, raw, sizeof raw);
}

void buffer_append_be64(struct buffer *buffer, uint64_t value) {
    uint8_t raw[8];
    put_be64(raw, value);
    buffer_append(buffer, raw, sizeof raw);
}

void put_le16(uint8_t *out, uint16_t value) {
    value = htole16(value);
    memcpy(out, &value, sizeof value);
}

void put_le32(uint8_t *out, uint32_t value) {
    value = htole32(value);
    memcpy(out, &value, sizeof value);
}

void put_le64(uint8_t *out, uint64_t value) {
    value = htole64(value);
    memcpy(out, &value, sizeof value);
}

void put_be64(uint8_t *out, uint64_t value) {
    value = htobe64(value);
    memcpy(out, &value, sizeof value);
}

uint16_t get_le16(const uint8_t *in) {
    uint16_t value;
    memcpy(&value, in, sizeof value);
    return le16toh(value);
}

uint32_t get_le32(const uint8_t *in) {
    uint32_t value;
    memcpy(&value, in, sizeof value);
    return le32toh(value);
}

uint64_t get_le64(const uint8_t *in) {
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return le64toh(value);
}

uint64_t get_be64(const uint8_t *in) {
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return be64toh(value);
}
