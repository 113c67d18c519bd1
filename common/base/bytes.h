/* Views of bytes, a buffer that grows, and the little-endian and big-endian integers of our
 * formats. */
#ifndef WAYBILL_BASE_BYTES_H
#define WAYBILL_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: whoever hands them out says how long they are valid. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size) {
    return (struct bytes){data, size};
}

static inline struct bytes bytes_of_string(const char *string) {
    return (struct bytes){(const uint8_t *)string, strlen(string)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool bytes_start_with(struct bytes whole, struct bytes prefix) {
    return whole.size >= prefix.size && (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

/* Bytes that grow. Zero-initialized is empty; growth aborts when memory is gone. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void buffer_free(struct buffer *buffer);
/* Empties it but keeps the memory. */
void buffer_clear(struct buffer *buffer);
/* Makes room for `extra` more bytes and returns where they go; the caller adds to size. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t extra);
void buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_append_bytes(struct buffer *buffer, struct bytes bytes);
void buffer_append_u8(struct buffer *buffer, uint8_t value);
/* Little-endian. */
void buffer_append_le32(struct buffer *buffer, uint32_t value);
void buffer_append_le64(struct buffer *buffer, uint64_t value);
/* Big-endian, for keys that must sort by number. */
void buffer_append_be64(struct buffer *buffer, uint64_t value);
static inline struct bytes buffer_bytes(const struct buffer *buffer) {
    return (struct bytes){buffer->data, buffer->size};
}

void put_le16(uint8_t *out, uint16_t value);
void put_le32(uint8_t *out, uint32_t value);
void put_le64(uint8_t *out, uint64_t value);
void put_be64(uint8_t *out, uint64_t value);
uint16_t get_le16(const uint8_t *in);
uint32_t get_le32(const uint8_t *in);
uint64_t get_le64(const uint8_t *in);
uint64_t get_be64(const uint8_t *in);

#endif
