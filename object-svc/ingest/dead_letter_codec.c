#include "object-svc/ingest/dead_letter_codec.h"

#include <string.h>

enum { LETTER_VERSION = 1, FIXED_BYTES = 45, TEXT_MAX_BYTES = 65535 };

struct uuid dead_letter_id(uint64_t event_sequence, int64_t event_time_ns) {
    struct uuid id;
    put_be64(id.raw, event_sequence);
    put_be64(id.raw + 8, (uint64_t)event_time_ns);
    return id;
}

void dead_letter_key(const struct uuid *id, uint8_t key[DEAD_LETTER_KEY_BYTES]) {
    key[0] = DEAD_LETTER_PREFIX;
    memcpy(key + 1, id->raw, sizeof id->raw);
}

bool dead_letter_key_read(struct bytes key, struct uuid *id) {
    if (key.size != DEAD_LETTER_KEY_BYTES || key.data[0] != DEAD_LETTER_PREFIX) {
        return false;
    }
    memcpy(id->raw, key.data + 1, sizeof id->raw);
    return true;
}

static void append_text(struct buffer *out, const char *text) {
    size_t size = strnlen(text, TEXT_MAX_BYTES);
    uint8_t length[2];
    put_le16(length, (uint16_t)size);
    buffer_append(out, length, sizeof length);
    buffer_append(out, text, size);
}

void dead_letter_encode(const struct dead_letter *letter, struct buffer *out) {
    buffer_append_u8(out, LETTER_VERSION);
    buffer_append_le64(out, (uint64_t)letter->fail_unix_us);
    buffer_append_le64(out, letter->event_sequence);
    buffer_append_le64(out, (uint64_t)letter->version);
    buffer_append_le32(out, letter->attempts);
    buffer_append(out, letter->payload_id.raw, sizeof letter->payload_id.raw);
    append_text(out, letter->event_subject);
    append_text(out, letter->reason);
    append_text(out, letter->message);
    append_text(out, letter->bucket);
    append_text(out, letter->key);
}

static bool take_text(struct bytes *rest, struct arena *arena, const char **text) {
    size_t size = rest->size >= 2 ? get_le16(rest->data) : 0;
    if (rest->size < 2 || rest->size - 2 < size) {
        return false;
    }
    char *copy = arena_alloc(arena, size + 1);
    memcpy(copy, rest->data + 2, size);
    copy[size] = '\0';
    *text = copy;
    *rest = bytes_of(rest->data + 2 + size, rest->size - 2 - size);
    return true;
}

bool dead_letter_decode(struct bytes value, struct arena *arena, struct dead_letter *letter, struct error *error) {
    if (value.size >= FIXED_BYTES && value.data[0] == LETTER_VERSION) {
        const uint8_t *at = value.data + 1;
        letter->fail_unix_us = (int64_t)get_le64(at);
        letter->event_sequence = get_le64(at + 8);
        letter->version = (int64_t)get_le64(at + 16);
        letter->attempts = get_le32(at + 24);
        memcpy(letter->payload_id.raw, at + 28, sizeof letter->payload_id.raw);
        struct bytes rest = bytes_of(value.data + FIXED_BYTES, value.size - FIXED_BYTES);
        if (take_text(&rest, arena, &letter->event_subject) && take_text(&rest, arena, &letter->reason) &&
            take_text(&rest, arena, &letter->message) && take_text(&rest, arena, &letter->bucket) &&
            take_text(&rest, arena, &letter->key) && rest.size == 0) {
            return true;
        }
    }
    return error_set(error, ERROR_DATA_LOSS, "DEAD_LETTER_CORRUPT", "a dead letter cannot be understood");
}
