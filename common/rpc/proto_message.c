/* The wire form is walked once by the descriptor, before protobuf-c sees it: strings, nesting
 * and what the message will weigh in memory are checked there. */
#include "common/rpc/proto_message.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/names.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

/* One field on the wire. */
struct wire_field {
    uint32_t id;
    enum wire_type type;
    struct bytes value; /* what a length-delimited field holds, else empty */
};

/* One message in the walk, linked to the one it is in. */
struct level {
    const struct level *outer;
    const ProtobufCMessageDescriptor *type;
    struct bytes wire;
    const ProtobufCFieldDescriptor *field; /* the field of `type` being looked at */
    const uint8_t *field_end;
    unsigned depth;
};

struct walk {
    struct error *error;
    size_t struct_bytes; /* what the nested messages' structs add up to */
};

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 70 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64) {
            *value |= (uint64_t)(byte & 0x7f) << shift;
        }
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool take_field(const uint8_t **at, const uint8_t *end, struct wire_field *field) {
    uint64_t tag;
    uint64_t size = 0;
    if (!take_varint(at, end, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return false;
    }
    *field = (struct wire_field){.id = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    switch (field->type) {
    case WIRE_VARINT:
        return take_varint(at, end, &size);
    case WIRE_64BIT:
        size = 8;
        break;
    case WIRE_32BIT:
        size = 4;
        break;
    case WIRE_LENGTH:
        if (!take_varint(at, end, &size)) {
            return false;
        }
        break;
    default: /* groups, which proto3 does not have */
        return false;
    }
    if (size > (uint64_t)(end - *at)) {
        return false;
    }
    if (field->type == WIRE_LENGTH) {
        field->value = bytes_of(*at, (size_t)size);
    }
    *at += size;
    return true;
}

/* Which element of its repeated field the level is at. */
static unsigned element_index(const struct level *level) {
    unsigned index = 0;
    struct wire_field field;
    const uint8_t *at = level->wire.data;
    while (at < level->field_end && take_field(&at, level->field_end, &field)) {
        index += field.id == level->field->id;
    }
    return index == 0 ? 0 : index - 1;
}

/* "records[3].key" into `out`; cut where it does not fit. Returns its length. */
static size_t print_path(const struct level *level, char *out, size_t room) {
    size_t used = 0;
    if (level->outer != NULL) {
        used = print_path(level->outer, out, room);
        used += used + 1 < room ? (size_t)snprintf(out + used, room - used, ".") : 0;
    }
    if (used + 1 >= room) {
        return used;
    }
    int length = level->field->label == PROTOBUF_C_LABEL_REPEATED
                     ? snprintf(out + used, room - used, "%s[%u]", level->field->name, element_index(level))
                     : snprintf(out + used, room - used, "%s", level->field->name);
    used += length > 0 ? (size_t)length : 0;
    return used < room ? used : room - 1;
}

static bool fail(const struct walk *walk, const struct level *level, const char *reason, const char *what) {
    char path[ERROR_FIELD_BYTES] = "";
    if (level->field != NULL) {
        print_path(level, path, sizeof path);
    } else if (level->outer != NULL) {
        print_path(level->outer, path, sizeof path);
    }
    if (path[0] == '\0') {
        return error_set(walk->error, ERROR_INVALID_ARGUMENT, reason, "%s %s", level->type->name, what);
    }
    return error_set_field(walk->error, path, reason, "%s %s", path, what);
}

static bool check_message(struct walk *walk, const struct level *outer, const ProtobufCMessageDescriptor *type,
                          struct bytes wire);

static bool check_field(struct walk *walk, const struct level *level, const struct wire_field *field) {
    if (field->type != WIRE_LENGTH || level->field == NULL) {
        return true;
    }
    if (level->field->type == PROTOBUF_C_TYPE_STRING) {
        if (field->value.size > 0 && memchr(field->value.data, '\0', field->value.size) != NULL) {
            return fail(walk, level, "BAD_UTF8", "holds a NUL");
        }
        return utf8_valid(field->value) || fail(walk, level, "BAD_UTF8", "is not valid UTF-8");
    }
    if (level->field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return check_message(walk, level, level->field->descriptor, field->value);
    }
    return true;
}

static bool check_message(struct walk *walk, const struct level *outer, const ProtobufCMessageDescriptor *type,
                          struct bytes wire) {
    struct level level = {outer, type, wire, NULL, NULL, outer == NULL ? 1 : outer->depth + 1};
    if (level.depth > PROTO_MAX_DEPTH) {
        return fail(walk, &level, "MALFORMED_REQUEST", "is nested too deeply");
    }
    walk->struct_bytes += type->sizeof_message;
    if (walk->struct_bytes > PROTO_MAX_STRUCT_BYTES) {
        return fail(walk, &level, "MALFORMED_REQUEST", "holds too many messages");
    }
    const uint8_t *at = wire.data;
    const uint8_t *end = wire.data + wire.size;
    while (at < end) {
        struct wire_field field;
        level.field = NULL;
        if (!take_field(&at, end, &field)) {
            return fail(walk, &level, "MALFORMED_REQUEST", "is not a well-formed message");
        }
        level.field = protobuf_c_message_descriptor_get_field(type, field.id);
        level.field_end = at;
        if (!check_field(walk, &level, &field)) {
            return false;
        }
    }
    return true;
}

ProtobufCMessage *proto_decode(const ProtobufCMessageDescriptor *type, struct bytes wire, struct arena *arena,
                               struct error *error) {
    struct walk walk = {.error = error};
    static const uint8_t nothing[1];
    if (wire.size == 0) {
        wire = bytes_of(nothing, 0);
    }
    if (!check_message(&walk, NULL, type, wire)) {
        return NULL;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(type, arena_protobuf(arena), wire.size, wire.data);
    if (message == NULL) {
        error_set(error, ERROR_INVALID_ARGUMENT, "MALFORMED_REQUEST", "not a well-formed %s", type->name);
    }
    return message;
}

struct bytes proto_encode(const ProtobufCMessage *message, struct arena *arena) {
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *out = arena_alloc(arena, size > 0 ? size : 1);
    size_t packed = protobuf_c_message_pack(message, out);
    assert(packed == size);
    (void)packed;
    return bytes_of(out, size);
}
