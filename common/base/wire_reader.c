#include "common/base/wire_reader.h"

static bool take_varint(struct bytes *wire, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; wire->size > 0 && shift < 64; shift += 7) {
        uint8_t byte = *wire->data++;
        wire->size--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct bytes *wire, uint64_t size, struct bytes *out) {
    if (size > wire->size) {
        return false;
    }
    *out = bytes_of(wire->data, (size_t)size);
    wire->data += size;
    wire->size -= (size_t)size;
    return true;
}

bool wire_next(struct bytes *wire, struct wire_field *field) {
    struct bytes rest = *wire;
    struct bytes fixed;
    uint64_t tag;
    bool good = take_varint(&rest, &tag) && tag >> 3 > 0 && tag >> 3 <= UINT32_MAX;
    if (!good) {
        return false;
    }
    *field = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    switch (field->type) {
    case WIRE_VARINT:
        good = take_varint(&rest, &field->value);
        break;
    case WIRE_LENGTH:
        good = take_varint(&rest, &field->value) && take_bytes(&rest, field->value, &field->bytes);
        break;
    case WIRE_FIXED64:
        good = take_bytes(&rest, 8, &fixed);
        break;
    case WIRE_FIXED32:
        good = take_bytes(&rest, 4, &fixed);
        break;
    default:
        good = false;
    }
    if (good) {
        field->whole = bytes_of(wire->data, wire->size - rest.size);
        *wire = rest;
    }
    return good;
}
