/* Attributes on the command line: NAME[:TYPE]=VALUE. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/times.h"
#include "cli/values.h"

static bool parse_string(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    attribute->text = text;
    return true;
}

static bool parse_int(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    char *end;
    errno = 0;
    attribute->number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_double(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    char *end;
    attribute->real = strtod(text, &end);
    return end != text && *end == '\0' && !isnan(attribute->real);
}

static bool parse_bool(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    attribute->truth = strcmp(text, "true") == 0;
    return attribute->truth || strcmp(text, "false") == 0;
}

static bool parse_time(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    return time_parse(text, &attribute->time);
}

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool parse_bytes(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    size_t length = strlen(text);
    if (length % 4 != 0) {
        return false;
    }
    size_t padding = length == 0 ? 0 : (size_t)(text[length - 1] == '=') + (size_t)(text[length - 2] == '=');
    uint8_t *out = arena_alloc(arena, length + 1);
    size_t size = 0;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t j = i; j < i + 4; j++) {
            int digit = j >= length - padding ? 0 : base64_digit(text[j]);
            if (digit < 0) {
                return false;
            }
            group = group << 6 | (uint32_t)digit;
        }
        out[size++] = (uint8_t)(group >> 16);
        out[size++] = (uint8_t)(group >> 8);
        out[size++] = (uint8_t)group;
    }
    attribute->raw = bytes_of(out, size - padding);
    return true;
}

static const struct {
    const char *name;
    enum waybill_attribute_kind kind;
    bool (*parse)(struct arena *arena, const char *text, struct waybill_attribute *attribute);
} types[] = {
    {"string", WAYBILL_ATTRIBUTE_STRING, parse_string}, {"int", WAYBILL_ATTRIBUTE_INT, parse_int},
    {"double", WAYBILL_ATTRIBUTE_DOUBLE, parse_double}, {"bool", WAYBILL_ATTRIBUTE_BOOL, parse_bool},
    {"time", WAYBILL_ATTRIBUTE_TIME, parse_time},       {"bytes", WAYBILL_ATTRIBUTE_BYTES, parse_bytes},
};

static bool parse(struct cli *cli, const char *option, const char *text, struct waybill_attribute *attribute) {
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        cli_usage(cli, "--%s: \"%s\" is not NAME[:TYPE]=VALUE", option, text);
        return false;
    }
    char *name = arena_printf(&cli->arena, "%.*s", (int)(equals - text), text);
    char *colon = strrchr(name, ':');
    const char *type = "string";
    if (colon != NULL) {
        *colon = '\0';
        type = colon + 1;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i].name) == 0) {
            attribute->name = name;
            attribute->kind = types[i].kind;
            bool good = types[i].parse(&cli->arena, equals + 1, attribute);
            if (!good) {
                cli_usage(cli, "--%s: \"%s\" is not a value of type %s", option, equals + 1, type);
            }
            return good;
        }
    }
    cli_usage(cli, "--%s: type \"%s\" is none of string, int, double, bool, time, bytes", option, type);
    return false;
}

bool value_attributes(struct cli *cli, const char *option, char **texts, const struct waybill_attribute **attributes,
                      size_t *count) {
    *count = option_list_count(texts);
    struct waybill_attribute *all = arena_zalloc(&cli->arena, *count * sizeof *all);
    *attributes = all;
    for (size_t i = 0; i < *count; i++) {
        if (!parse(cli, option, texts[i], &all[i])) {
            return false;
        }
    }
    return true;
}
