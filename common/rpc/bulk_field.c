#include "common/rpc/bulk_field.h"

enum { WIRE_TYPE_LENGTH_DELIMITED = 2 };

static size_t put_varint(uint8_t *out, uint64_t value) {
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

static size_t encode(uint8_t *out, unsigned field, size_t size) {
    size_t tag = put_varint(out, (uint64_t)field << 3 | WIRE_TYPE_LENGTH_DELIMITED);
    return tag + put_varint(out + tag, size);
}

void bulk_field_append(struct buffer *head, unsigned field, size_t size) {
    head->size += encode(buffer_reserve(head, BULK_FIELD_MAX_BYTES), field, size);
}

void bulk_head_append(struct buffer *head, const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buffer_reserve(head, size));
    head->size += size;
}

void bulk_member_append(struct buffer *head, unsigned field, const ProtobufCMessage *member, unsigned data_field,
                        size_t size) {
    uint8_t scratch[BULK_FIELD_MAX_BYTES];
    size_t around = protobuf_c_message_get_packed_size(member) + encode(scratch, data_field, size);
    bulk_field_append(head, field, around + size);
    bulk_head_append(head, member);
    bulk_field_append(head, data_field, size);
}
