#include "common/client/proto_json_parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/client/proto_json_parts.h"

static ProtobufCMessage *message_of(const ProtobufCMessageDescriptor *type, json_t *object, struct arena *arena);

/* ---- scalars ---- */

static bool parse_signed(const json_t *value, int64_t min, int64_t max, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return *out >= min && *out <= max;
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    errno = 0;
    *out = text != NULL ? strtoll(text, &end, 10) : 0;
    return text != NULL && end != text && *end == '\0' && errno == 0 && *out >= min && *out <= max;
}

static bool parse_unsigned(const json_t *value, uint64_t max, uint64_t *out) {
    const char *text = json_string_value(value);
    char *end = NULL;
    if (json_is_integer(value)) {
        *out = (uint64_t)json_integer_value(value);
        return json_integer_value(value) >= 0 && *out <= max;
    }
    errno = 0;
    *out = text != NULL ? strtoull(text, &end, 10) : 0;
    return text != NULL && end != text && *end == '\0' && text[0] != '-' && errno == 0 && *out <= max;
}

static bool parse_real(const json_t *value, double *out) {
    const char *text = json_string_value(value);
    if (text != NULL) {
        *out = strcmp(text, "NaN") == 0 ? NAN : strcmp(text, "-Infinity") == 0 ? -INFINITY : INFINITY;
        return isnan(*out) || strstr(text, "Infinity") != NULL;
    }
    *out = json_number_value(value);
    return json_is_number(value);
}

static int digit_of(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool parse_bytes(const json_t *value, struct arena *arena, ProtobufCBinaryData *out) {
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (text == NULL || length % 4 != 0) {
        return false;
    }
    size_t padding = length == 0 ? 0 : (size_t)(text[length - 1] == '=') + (size_t)(text[length - 2] == '=');
    out->data = arena_alloc(arena, length + 1);
    out->len = 0;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t j = i; j < i + 4; j++) {
            int digit = j >= length - padding ? 0 : digit_of(text[j]);
            if (digit < 0) {
                return false;
            }
            group = group << 6 | (uint32_t)digit;
        }
        out->data[out->len++] = (uint8_t)(group >> 16);
        out->data[out->len++] = (uint8_t)(group >> 8);
        out->data[out->len++] = (uint8_t)group;
    }
    out->len -= padding;
    return true;
}

static bool parse_enum(const ProtobufCEnumDescriptor *type, const json_t *value, int *out) {
    if (json_is_integer(value)) {
        *out = (int)json_integer_value(value);
        return true;
    }
    const char *name = json_string_value(value);
    const ProtobufCEnumValue *found = name != NULL ? protobuf_c_enum_descriptor_get_value_by_name(type, name) : NULL;
    *out = found != NULL ? found->value : 0;
    return found != NULL;
}

/* ---- well-known types ---- */

/* Timestamp and Duration have the same two fields. */
struct seconds_and_nanos {
    ProtobufCMessage base;
    int64_t seconds;
    int32_t nanos;
};

/* ".25" as nanoseconds, or nothing; moves on behind it. */
static int32_t take_fraction(const char **at) {
    int32_t nanos = 0;
    if (**at != '.') {
        return 0;
    }
    ++*at;
    for (int32_t unit = 100000000; isdigit((unsigned char)**at); ++*at, unit /= 10) {
        nanos += (**at - '0') * unit;
    }
    return nanos;
}

static bool parse_timestamp(const char *text, struct seconds_and_nanos *out) {
    struct tm parts = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (at == NULL) {
        return false;
    }
    out->nanos = take_fraction(&at);
    out->seconds = (int64_t)timegm(&parts);
    return strcmp(at, "Z") == 0;
}

static bool parse_duration(const char *text, struct seconds_and_nanos *out) {
    char *end;
    errno = 0;
    out->seconds = strtoll(text, &end, 10);
    const char *at = end;
    out->nanos = take_fraction(&at) * (text[0] == '-' ? -1 : 1);
    return end != text && errno == 0 && strcmp(at, "s") == 0;
}

/* ---- fields ---- */

static bool parse_message(const ProtobufCMessageDescriptor *type, json_t *value, struct arena *arena,
                          ProtobufCMessage **out) {
    bool timestamp = strcmp(type->name, "google.protobuf.Timestamp") == 0;
    if (!timestamp && strcmp(type->name, "google.protobuf.Duration") != 0) {
        *out = message_of(type, value, arena);
        return *out != NULL;
    }
    const char *text = json_string_value(value);
    *out = arena_alloc(arena, type->sizeof_message);
    protobuf_c_message_init(type, *out);
    struct seconds_and_nanos *time = (struct seconds_and_nanos *)*out;
    return text != NULL && (timestamp ? parse_timestamp(text, time) : parse_duration(text, time));
}

static bool parse_32(const ProtobufCFieldDescriptor *field, const json_t *value, void *at) {
    int64_t whole;
    uint64_t natural;
    bool is_signed = field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_SINT32 ||
                     field->type == PROTOBUF_C_TYPE_SFIXED32;
    bool good =
        is_signed ? parse_signed(value, INT32_MIN, INT32_MAX, &whole) : parse_unsigned(value, UINT32_MAX, &natural);
    if (good) {
        *(uint32_t *)at = is_signed ? (uint32_t)whole : (uint32_t)natural;
    }
    return good;
}

static bool parse_text(const json_t *value, struct arena *arena, char **at) {
    const char *text = json_string_value(value);
    *at = arena_strdup(arena, text != NULL ? text : "");
    return text != NULL;
}

static bool parse_value(const ProtobufCFieldDescriptor *field, json_t *value, struct arena *arena, void *at) {
    double number = 0;
    bool good;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return parse_signed(value, INT64_MIN, INT64_MAX, at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return parse_unsigned(value, UINT64_MAX, at);
    case PROTOBUF_C_TYPE_FLOAT:
        good = parse_real(value, &number);
        *(float *)at = (float)number;
        return good;
    case PROTOBUF_C_TYPE_DOUBLE:
        return parse_real(value, at);
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = json_is_true(value);
        return json_is_boolean(value);
    case PROTOBUF_C_TYPE_ENUM:
        return parse_enum(field->descriptor, value, at);
    case PROTOBUF_C_TYPE_STRING:
        return parse_text(value, arena, at);
    case PROTOBUF_C_TYPE_BYTES:
        return parse_bytes(value, arena, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return parse_message(field->descriptor, value, arena, at);
    default:
        return parse_32(field, value, at);
    }
}

/* An entry of a map; its key is a string in all our maps. */
static bool parse_entry(const ProtobufCMessageDescriptor *type, const char *key, json_t *value, struct arena *arena,
                        ProtobufCMessage **out) {
    if (type->n_fields != 2 || type->fields[0].type != PROTOBUF_C_TYPE_STRING) {
        return false;
    }
    uint8_t *entry = arena_alloc(arena, type->sizeof_message);
    protobuf_c_message_init(type, entry);
    *out = (ProtobufCMessage *)(void *)entry;
    *(char **)(void *)(entry + type->fields[0].offset) = arena_strdup(arena, key);
    return parse_value(&type->fields[1], value, arena, entry + type->fields[1].offset);
}

static bool parse_map(const ProtobufCFieldDescriptor *field, json_t *value, struct arena *arena, size_t *count,
                      void **elements) {
    ProtobufCMessage **entries = arena_alloc(arena, (json_object_size(value) + 1) * sizeof *entries);
    const char *key;
    json_t *one;
    *elements = entries;
    json_object_foreach(value, key, one) {
        if (field->type != PROTOBUF_C_TYPE_MESSAGE ||
            !parse_entry(field->descriptor, key, one, arena, &entries[*count])) {
            return false;
        }
        ++*count;
    }
    return true;
}

static bool parse_repeated(const ProtobufCFieldDescriptor *field, json_t *value, struct arena *arena, size_t *count,
                           void **elements) {
    size_t size = proto_json_element_size(field->type);
    size_t index;
    json_t *one;
    if (json_is_object(value)) {
        return parse_map(field, value, arena, count, elements);
    }
    *elements = arena_zalloc(arena, (json_array_size(value) + 1) * size);
    json_array_foreach(value, index, one) {
        if (!parse_value(field, one, arena, (uint8_t *)*elements + index * size)) {
            return false;
        }
        ++*count;
    }
    return json_is_array(value);
}

static bool parse_field(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, json_t *value,
                        struct arena *arena) {
    uint8_t *base = (uint8_t *)message;
    void *at = base + field->offset;
    void *quantifier = base + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return parse_repeated(field, value, arena, quantifier, at);
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        *(uint32_t *)quantifier = field->id;
    }
    return parse_value(field, value, arena, at);
}

/* ---- messages ---- */

/* Whether "contentType" is what `content_type` is called in JSON. */
static bool is_named(const char *name, const char *camel) {
    for (; *name != '\0'; name++, camel++) {
        bool upper = *name == '_';
        name += upper ? 1 : 0;
        if (*camel != (upper ? (char)toupper((unsigned char)*name) : *name)) {
            return false;
        }
    }
    return *camel == '\0';
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type, const char *camel) {
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (is_named(type->fields[i].name, camel)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

static ProtobufCMessage *message_of(const ProtobufCMessageDescriptor *type, json_t *object, struct arena *arena) {
    if (!json_is_object(object)) {
        return NULL;
    }
    ProtobufCMessage *message = arena_alloc(arena, type->sizeof_message);
    protobuf_c_message_init(type, message);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        const ProtobufCFieldDescriptor *field = find_field(type, name);
        if (field != NULL && !json_is_null(value) && !parse_field(message, field, value, arena)) {
            return NULL;
        }
    }
    return message;
}

ProtobufCMessage *proto_json_parse(const ProtobufCMessageDescriptor *type, struct bytes text, struct arena *arena) {
    json_t *root = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    ProtobufCMessage *message = message_of(type, root, arena);
    json_decref(root);
    return message;
}
