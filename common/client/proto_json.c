#include "common/client/proto_json.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/names.h"
#include "common/client/proto_json_parts.h"

enum { NAME_BYTES = 256, NANOS_PER_SECOND = 1000000000 };

/* Of google.protobuf.Timestamp: the years 1 to 9999. */
static const int64_t time_min_seconds = -62135596800;
static const int64_t time_max_seconds = 253402300799;
/* Of google.protobuf.Duration: about 10,000 years. */
static const int64_t duration_max_seconds = 315576000000;

/* jansson answers NULL only when memory is gone: the texts are checked before. */
static json_t *made(json_t *value) {
    if (value == NULL) {
        abort();
    }
    return value;
}

static void add(json_t *object, const char *name, json_t *value) {
    if (json_object_set_new_nocheck(object, name, value) != 0) {
        abort();
    }
}

/* ---- scalars ---- */

static json_t *text_of_bytes(const uint8_t *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = (size + 2) / 3 * 4;
    char *text = malloc(length + 1);
    if (text == NULL) {
        abort();
    }
    char *out = text;
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)data[i] << 16;
        group |= have > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        group |= have > 2 ? data[i + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = have > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = have > 2 ? digits[group & 63] : '=';
    }
    json_t *value = made(json_stringn_nocheck(text, length));
    free(text);
    return value;
}

/* Bytes of the valid character at `text`, 0 where there is none. */
static size_t character_size(const char *text, size_t left) {
    for (size_t size = 1; size <= 4 && size <= left; size++) {
        if (utf8_valid(bytes_of(text, size))) {
            return size;
        }
    }
    return 0;
}

json_t *proto_json_text(const char *text) {
    size_t size = strlen(text);
    if (utf8_valid(bytes_of(text, size))) {
        return made(json_stringn_nocheck(text, size));
    }
    struct buffer clean = {0};
    for (size_t i = 0; i < size;) {
        size_t character = character_size(text + i, size - i);
        if (character == 0) {
            buffer_append(&clean, "\xef\xbf\xbd", 3);
            i++;
        } else {
            buffer_append(&clean, text + i, character);
            i += character;
        }
    }
    json_t *value = made(json_stringn_nocheck((const char *)clean.data, clean.size));
    buffer_free(&clean);
    return value;
}

static json_t *text_of_signed(int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    return made(json_string_nocheck(text));
}

static json_t *text_of_unsigned(uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return made(json_string_nocheck(text));
}

static json_t *real(double number) {
    if (isnan(number)) {
        return made(json_string_nocheck("NaN"));
    }
    if (isinf(number)) {
        return made(json_string_nocheck(number > 0 ? "Infinity" : "-Infinity"));
    }
    return made(json_real(number));
}

static json_t *enum_value(const ProtobufCEnumDescriptor *type, int number) {
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    return made(value != NULL ? json_string_nocheck(value->name) : json_integer(number));
}

/* ---- well-known types ---- */

/* Appends ".5" and the like: nothing, 3, 6 or 9 digits. */
static void print_fraction(int32_t nanos, char *out, size_t room) {
    if (nanos == 0) {
        out[0] = '\0';
    } else if (nanos % 1000000 == 0) {
        snprintf(out, room, ".%03" PRId32, nanos / 1000000);
    } else if (nanos % 1000 == 0) {
        snprintf(out, room, ".%06" PRId32, nanos / 1000);
    } else {
        snprintf(out, room, ".%09" PRId32, nanos);
    }
}

bool proto_json_print_time(int64_t seconds, int32_t nanos, char out[PROTO_JSON_TIME_BYTES]) {
    out[0] = '\0';
    time_t when = (time_t)seconds;
    struct tm parts;
    if (seconds < time_min_seconds || seconds > time_max_seconds || nanos < 0 || nanos >= NANOS_PER_SECOND ||
        gmtime_r(&when, &parts) == NULL) {
        return false;
    }
    char fraction[16];
    print_fraction(nanos, fraction, sizeof fraction);
    snprintf(out, PROTO_JSON_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", (parts.tm_year + 1900) % 10000,
             (parts.tm_mon + 1) % 100, parts.tm_mday % 100, parts.tm_hour % 100, parts.tm_min % 100, parts.tm_sec % 100,
             fraction);
    return true;
}

/* Timestamp and Duration have the same two fields. */
struct seconds_and_nanos {
    ProtobufCMessage base;
    int64_t seconds;
    int32_t nanos;
};

static json_t *timestamp(const ProtobufCMessage *message) {
    const struct seconds_and_nanos *time = (const struct seconds_and_nanos *)message;
    char text[PROTO_JSON_TIME_BYTES];
    bool good = proto_json_print_time(time->seconds, time->nanos, text);
    return good ? made(json_string_nocheck(text)) : json_null();
}

static json_t *duration(const ProtobufCMessage *message) {
    const struct seconds_and_nanos *span = (const struct seconds_and_nanos *)message;
    int64_t seconds = span->seconds;
    int32_t nanos = span->nanos;
    if (seconds < -duration_max_seconds || seconds > duration_max_seconds || nanos <= -NANOS_PER_SECOND ||
        nanos >= NANOS_PER_SECOND || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
        return json_null();
    }
    char fraction[16];
    print_fraction(abs(nanos), fraction, sizeof fraction);
    char text[48];
    snprintf(text, sizeof text, "%s%" PRId64 "%ss", seconds < 0 || nanos < 0 ? "-" : "",
             seconds < 0 ? -seconds : seconds, fraction);
    return made(json_string_nocheck(text));
}

/* "content_type" as "contentType"; cut where it does not fit. */
static void print_camel(const char *name, char out[NAME_BYTES]) {
    size_t used = 0;
    bool upper = false;
    for (; *name != '\0' && used + 1 < NAME_BYTES; name++) {
        if (*name == '_') {
            upper = true;
        } else {
            out[used++] = upper ? (char)toupper((unsigned char)*name) : *name;
            upper = false;
        }
    }
    out[used] = '\0';
}

static json_t *field_mask(const ProtobufCMessage *message) {
    struct mask {
        ProtobufCMessage base;
        size_t n_paths;
        char **paths;
    };
    const struct mask *mask = (const struct mask *)message;
    struct buffer text = {0};
    for (size_t i = 0; i < mask->n_paths; i++) {
        char path[NAME_BYTES];
        print_camel(mask->paths[i], path);
        buffer_append(&text, ",", i > 0 ? 1 : 0);
        buffer_append(&text, path, strlen(path));
    }
    buffer_append_u8(&text, 0);
    json_t *value = proto_json_text((const char *)text.data);
    buffer_free(&text);
    return value;
}

static json_t *any(const ProtobufCMessage *message) {
    struct any {
        ProtobufCMessage base;
        char *type_url;
        ProtobufCBinaryData value;
    };
    const struct any *any = (const struct any *)message;
    json_t *object = made(json_object());
    add(object, "@type", proto_json_text(any->type_url));
    add(object, "value", text_of_bytes(any->value.data, any->value.len));
    return object;
}

static const struct {
    const char *name;
    json_t *(*convert)(const ProtobufCMessage *message);
} well_known[] = {
    {"google.protobuf.Timestamp", timestamp},
    {"google.protobuf.Duration", duration},
    {"google.protobuf.FieldMask", field_mask},
    {"google.protobuf.Any", any},
};

/* ---- fields ---- */

static json_t *value_at(const ProtobufCFieldDescriptor *field, const void *at) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return made(json_integer(*(const int32_t *)at));
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return made(json_integer(*(const uint32_t *)at));
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return text_of_signed(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return text_of_unsigned(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return real((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_value(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return proto_json_text(*(char *const *)at != NULL ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = at;
        return text_of_bytes(bytes->data, bytes->len);
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *message = *(ProtobufCMessage *const *)at;
        return message != NULL ? proto_json(message) : json_null();
    }
    }
    return json_null();
}

size_t proto_json_element_size(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

/* Whether a field without presence holds its default. */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *at) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(char *const *)at;
        return text == NULL || text[0] == '\0';
    }
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    default: {
        static const uint8_t zeros[8];
        return memcmp(at, zeros, proto_json_element_size(field->type)) == 0;
    }
    }
}

/* protobuf-c does not say which messages are entries of a map, but protoc names them: field
 * `a_b` of message M has entries of type M.ABEntry. */
static bool is_map(const ProtobufCMessageDescriptor *owner, const ProtobufCFieldDescriptor *field) {
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    if (entry->n_fields != 2 || strcmp(entry->fields[0].name, "key") != 0 || entry->fields[0].id != 1 ||
        strcmp(entry->fields[1].name, "value") != 0 || entry->fields[1].id != 2) {
        return false;
    }
    char name[NAME_BYTES];
    char whole[2 * NAME_BYTES + 16];
    print_camel(field->name, name);
    name[0] = (char)toupper((unsigned char)name[0]);
    snprintf(whole, sizeof whole, "%s.%sEntry", owner->name, name);
    return strcmp(entry->name, whole) == 0;
}

/* A map's key as text: strings as they are, numbers and truth values printed. */
static void add_entry(json_t *object, const ProtobufCMessage *entry) {
    const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
    const uint8_t *at = (const uint8_t *)entry;
    json_t *key = value_at(&fields[0], at + fields[0].offset);
    json_t *value = value_at(&fields[1], at + fields[1].offset);
    if (json_is_string(key)) {
        add(object, json_string_value(key), value);
    } else {
        char *text = json_dumps(key, JSON_ENCODE_ANY);
        if (text == NULL) {
            abort();
        }
        add(object, text, value);
        free(text);
    }
    json_decref(key);
}

static json_t *repeated(const ProtobufCMessageDescriptor *owner, const ProtobufCFieldDescriptor *field,
                        const uint8_t *elements, size_t count) {
    bool map = is_map(owner, field);
    json_t *all = made(map ? json_object() : json_array());
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = elements + i * proto_json_element_size(field->type);
        if (map) {
            add_entry(all, *(ProtobufCMessage *const *)(const void *)at);
        } else if (json_array_append_new(all, value_at(field, at)) != 0) {
            abort();
        }
    }
    return all;
}

/* The field's value; NULL where it is left out. */
static json_t *field_value(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
    const uint8_t *base = (const uint8_t *)message;
    const uint8_t *at = base + field->offset;
    const void *quantifier = base + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *(const size_t *)quantifier;
        const uint8_t *elements = *(uint8_t *const *)(const void *)at;
        return count > 0 ? repeated(message->descriptor, field, elements, count) : NULL;
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)quantifier == field->id ? value_at(field, at) : NULL;
    }
    return is_default(field, at) ? NULL : value_at(field, at);
}

json_t *proto_json(const ProtobufCMessage *message) {
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (size_t i = 0; i < sizeof well_known / sizeof well_known[0]; i++) {
        if (strcmp(type->name, well_known[i].name) == 0) {
            return well_known[i].convert(message);
        }
    }
    json_t *object = made(json_object());
    for (unsigned i = 0; i < type->n_fields; i++) {
        json_t *value = field_value(message, &type->fields[i]);
        if (value != NULL) {
            char name[NAME_BYTES];
            print_camel(type->fields[i].name, name);
            add(object, name, value);
        }
    }
    return object;
}

char *proto_json_line(const ProtobufCMessage *message) {
    json_t *value = proto_json(message);
    char *line = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (line == NULL) {
        abort();
    }
    return line;
}
