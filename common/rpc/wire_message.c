#include "common/rpc/wire_message.h"

#include <assert.h>
#include <grpc/byte_buffer_reader.h>
#include <string.h>

grpc_slice wire_slice_pack(const ProtobufCMessage *message) {
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));
    size_t packed = protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    assert(packed == GRPC_SLICE_LENGTH(slice));
    (void)packed;
    return slice;
}

grpc_byte_buffer *wire_message_pack(const ProtobufCMessage *message) {
    grpc_slice slice = wire_slice_pack(message);
    return wire_message_of_slices(&slice, 1);
}

grpc_byte_buffer *wire_message_join(struct bytes head, struct bytes body) {
    grpc_slice slice = grpc_slice_malloc(head.size + body.size);
    uint8_t *out = GRPC_SLICE_START_PTR(slice);
    if (head.size > 0) {
        memcpy(out, head.data, head.size);
    }
    if (body.size > 0) {
        memcpy(out + head.size, body.data, body.size);
    }
    return wire_message_of_slices(&slice, 1);
}

grpc_byte_buffer *wire_message_of_slices(grpc_slice *slices, size_t count) {
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, count);
    for (size_t i = 0; i < count; i++) {
        grpc_slice_unref(slices[i]);
    }
    return buffer;
}

bool wire_message_borrow(grpc_byte_buffer *buffer, grpc_slice *slice, struct bytes *whole) {
    if (buffer->data.raw.slice_buffer.count > 1) {
        return false;
    }
    *slice = grpc_empty_slice();
    *whole = (struct bytes){0};
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        return false;
    }
    if (grpc_byte_buffer_reader_next(&reader, slice)) {
        *whole = bytes_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}

/* A function of its own, and no other calls in it, for the sake of tests/tsan.supp. */
void wire_slice_release(grpc_slice slice) {
    grpc_slice_unref(slice);
}

void wire_message_copy(grpc_byte_buffer *buffer, uint8_t *out) {
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        return;
    }
    grpc_slice *piece;
    while (grpc_byte_buffer_reader_peek(&reader, &piece)) {
        memcpy(out, GRPC_SLICE_START_PTR(*piece), GRPC_SLICE_LENGTH(*piece));
        out += GRPC_SLICE_LENGTH(*piece);
    }
    grpc_byte_buffer_reader_destroy(&reader);
}

static const grpc_slice *find(const grpc_metadata_array *headers, const char *name) {
    for (size_t i = 0; i < headers->count; i++) {
        if (grpc_slice_str_cmp(headers->metadata[i].key, name) == 0) {
            return &headers->metadata[i].value;
        }
    }
    return NULL;
}

const char *wire_header(const grpc_metadata_array *headers, const char *name, struct arena *arena) {
    const grpc_slice *value = find(headers, name);
    if (value == NULL || memchr(GRPC_SLICE_START_PTR(*value), '\0', GRPC_SLICE_LENGTH(*value)) != NULL) {
        return NULL;
    }
    size_t size = GRPC_SLICE_LENGTH(*value);
    char *out = arena_alloc(arena, size + 1);
    memcpy(out, GRPC_SLICE_START_PTR(*value), size);
    out[size] = '\0';
    return out;
}

struct bytes wire_binary_header(const grpc_metadata_array *headers, const char *name) {
    const grpc_slice *value = find(headers, name);
    if (value == NULL) {
        return (struct bytes){0};
    }
    return bytes_of(GRPC_SLICE_START_PTR(*value), GRPC_SLICE_LENGTH(*value));
}
