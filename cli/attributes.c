/* --attr NAME[:TYPE]=VALUE. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/options.h"
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

/* ".25" as nanoseconds; moves on behind it. */
static bool take_fraction(const char **at, int32_t *nanos) {
    *nanos = 0;
    if (**at != '.') {
        return true;
    }
    int digits = 0;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        *nanos = digits < 9 ? *nanos * 10 + (**at - '0') : *nanos;
    }
    for (int i = digits; i < 9; i++) {
        *nanos *= 10;
    }
    return digits > 0;
}

/* "Z" or "+01:00" at the end, as seconds east of UTC. */
static bool take_zone(const char *at, int64_t *east) {
    *east = 0;
    if (strcmp(at, "Z") == 0) {
        return true;
    }
    unsigned hours;
    unsigned minutes;
    int used = 0;
    bool good = (at[0] == '+' || at[0] == '-') && sscanf(at + 1, "%2u:%2u%n", &hours, &minutes, &used) == 2 &&
                used == 5 && at[6] == '\0' && hours < 24 && minutes < 60;
    if (good) {
        *east = (at[0] == '-' ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
    }
    return good;
}

static bool parse_time(struct arena *arena, const char *text, struct waybill_attribute *attribute) {
    (void)arena;
    struct tm parts = {0};
    int64_t east;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (at == NULL || !take_fraction(&at, &attribute->time.nanos) || !take_zone(at, &east)) {
        return false;
    }
    attribute->time.seconds = (int64_t)timegm(&parts) - east;
    return true;
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

static bool parse(struct cli *cli, const char *text, struct waybill_attribute *attribute) {
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        cli_usage(cli, "--attr: \"%s\" is not NAME[:TYPE]=VALUE", text);
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
                cli_usage(cli, "--attr: \"%s\" is not a value of type %s", equals + 1, type);
            }
            return good;
        }
    }
    cli_usage(cli, "--attr: type \"%s\" is none of string, int, double, bool, time, bytes", type);
    return false;
}

bool value_attributes(struct cli *cli, char **texts, const struct waybill_attribute **attributes, size_t *count) {
    *count = 0;
    while (texts != NULL && texts[*count] != NULL) {
        (*count)++;
    }
    struct waybill_attribute *all = arena_zalloc(&cli->arena, *count * sizeof *all);
    *attributes = all;
    for (size_t i = 0; i < *count; i++) {
        if (!parse(cli, texts[i], &all[i])) {
            return false;
        }
    }
    return true;
}
