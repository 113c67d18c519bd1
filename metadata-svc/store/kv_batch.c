/* One operation: a tag byte, key length, key, and for a put value length and value. */
#include "metadata-svc/store/kv.h"

enum { KV_TAG_PUT = 1, KV_TAG_DELETE = 2 };

static void append_sized(struct buffer *buffer, struct bytes bytes) {
    buffer_append_le32(buffer, (uint32_t)bytes.size);
    buffer_append_bytes(buffer, bytes);
}

void kv_batch_put(struct kv_batch *batch, struct bytes key, struct bytes value) {
    buffer_append_u8(&batch->operations, KV_TAG_PUT);
    append_sized(&batch->operations, key);
    append_sized(&batch->operations, value);
    batch->count++;
}

void kv_batch_delete(struct kv_batch *batch, struct bytes key) {
    buffer_append_u8(&batch->operations, KV_TAG_DELETE);
    append_sized(&batch->operations, key);
    batch->count++;
}

void kv_batch_clear(struct kv_batch *batch) {
    buffer_clear(&batch->operations);
    batch->count = 0;
}

void kv_batch_free(struct kv_batch *batch) {
    buffer_free(&batch->operations);
    batch->count = 0;
}

static struct bytes take_sized(const uint8_t **at) {
    struct bytes out = {*at + 4, get_le32(*at)};
    *at = out.data + out.size;
    return out;
}

void kv_batch_each(const struct kv_batch *batch,
                   void (*visit)(void *context, struct bytes key, const struct bytes *value), void *context) {
    const uint8_t *at = batch->operations.data;
    const uint8_t *end = at + batch->operations.size;
    while (at < end) {
        uint8_t tag = *at++;
        struct bytes key = take_sized(&at);
        if (tag == KV_TAG_PUT) {
            struct bytes value = take_sized(&at);
            visit(context, key, &value);
        } else {
            visit(context, key, NULL);
        }
    }
}
