#include "common/base/config_value.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/names.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Rising, so that the last that divides a number is the largest. */
static const struct unit size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0},
};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum config_type type) {
    switch (type) {
    case CONFIG_TYPE_SIZE:
        return size_units;
    case CONFIG_TYPE_DURATION:
        return duration_units;
    default:
        return plain_units;
    }
}

/* An optional '-', digits, spaces, a unit. */
static bool parse_number(enum config_type type, const char *text, int64_t *number) {
    bool negative = *text == '-';
    const char *next = text + (negative ? 1 : 0);
    if (!isdigit((unsigned char)*next)) {
        return false;
    }
    int64_t value = 0;
    for (; isdigit((unsigned char)*next); next++) {
        int digit = *next - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
            return false;
        }
    }
    next += strspn(next, " ");
    for (const struct unit *unit = units_of(type); unit->name != NULL; unit++) {
        if (strcmp(next, unit->name) == 0) {
            return !__builtin_mul_overflow(value, unit->factor, number);
        }
    }
    *number = 0;
    return value == 0 && *next == '\0'; /* nothing is nothing in any unit */
}

void config_number_print(enum config_type type, int64_t number, char text[CONFIG_TEXT_BYTES]) {
    const struct unit *best = NULL;
    for (const struct unit *unit = units_of(type); unit->name != NULL; unit++) {
        if (number % unit->factor == 0 && (best == NULL || unit->factor > best->factor)) {
            best = unit;
        }
    }
    snprintf(text, CONFIG_TEXT_BYTES, "%" PRId64 "%s", number == 0 ? 0 : number / best->factor,
             number == 0 ? "" : best->name);
}

static void *member(const struct config_entry *entry, void *values) {
    return (char *)values + entry->offset;
}

static const void *const_member(const struct config_entry *entry, const void *values) {
    return (const char *)values + entry->offset;
}

/* Control characters have no place in a name, path or address, and they would make the
 * printed configuration something else than what was read. */
static bool is_printable(const char *text) {
    for (const unsigned char *next = (const unsigned char *)text; *next != '\0'; next++) {
        bool c1_control = next[0] == 0xc2 && next[1] < 0xa0;
        if (*next < 0x20 || *next == 0x7f || c1_control) {
            return false;
        }
    }
    return utf8_valid(bytes_of_string(text));
}

static bool set_string(const struct config_entry *entry, void *values, const char *text) {
    if (strlen(text) >= CONFIG_STRING_BYTES || !is_printable(text)) {
        return false;
    }
    if (entry->format != NULL && !entry->format->matches(text)) {
        return false;
    }
    config_set_string(member(entry, values), text);
    return true;
}

static bool set_number(const struct config_entry *entry, void *values, const char *text) {
    int64_t number;
    if (!parse_number(entry->type, text, &number) || number < entry->min || number > entry->max) {
        return false;
    }
    *(int64_t *)member(entry, values) = number;
    return true;
}

static bool set_bool(const struct config_entry *entry, void *values, const char *text) {
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) {
        return false;
    }
    *(bool *)member(entry, values) = yes;
    return true;
}

static bool set_enum(const struct config_entry *entry, void *values, const char *text) {
    for (unsigned i = 0; entry->choices[i] != NULL; i++) {
        if (strcmp(text, entry->choices[i]) == 0) {
            *(unsigned *)member(entry, values) = i;
            return true;
        }
    }
    return false;
}

static bool set(const struct config_entry *entry, void *values, const char *text) {
    switch (entry->type) {
    case CONFIG_TYPE_STRING:
        return set_string(entry, values, text);
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_DURATION:
        return set_number(entry, values, text);
    case CONFIG_TYPE_BOOL:
        return set_bool(entry, values, text);
    case CONFIG_TYPE_ENUM:
        return set_enum(entry, values, text);
    }
    return false;
}

/* What was found, short and safe to print on a terminal. */
static void quote(const char *text, char out[72]) {
    size_t i = 0;
    for (; text[i] != '\0' && i < 64; i++) {
        out[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
    }
    strcpy(out + i, text[i] != '\0' ? "..." : "");
}

bool config_value_set(const struct config_entry *entry, void *values, const char *text, struct error *error) {
    if (set(entry, values, text)) {
        return true;
    }
    char found[72];
    quote(text, found);
    char allowed[CONFIG_ALLOWED_BYTES];
    config_allowed_text(entry, allowed);
    const char *example = entry->type == CONFIG_TYPE_SIZE       ? ", such as 65536, 64KiB or 8GiB"
                          : entry->type == CONFIG_TYPE_DURATION ? ", such as 250ms, 10s, 5m or 24h"
                                                                : "";
    return error_set_field(error, entry->name, "BAD_CONFIG", "found \"%s\"; allowed: %s%s", found, allowed, example);
}

const char *config_value_text(const struct config_entry *entry, const void *values, char scratch[CONFIG_TEXT_BYTES]) {
    const void *value = const_member(entry, values);
    switch (entry->type) {
    case CONFIG_TYPE_STRING:
        return *(char *const *)value;
    case CONFIG_TYPE_BOOL:
        return *(const bool *)value ? "true" : "false";
    case CONFIG_TYPE_ENUM:
        return entry->choices[*(const unsigned *)value];
    default:
        config_number_print(entry->type, *(const int64_t *)value, scratch);
        return scratch;
    }
}

static void print_choices(const struct config_entry *entry, char text[CONFIG_ALLOWED_BYTES]) {
    size_t used = 0;
    for (size_t i = 0; entry->choices[i] != NULL && used < CONFIG_ALLOWED_BYTES; i++) {
        const char *separator = i == 0 ? "" : entry->choices[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(text + used, CONFIG_ALLOWED_BYTES - used, "%s%s", separator, entry->choices[i]);
    }
}

void config_allowed_text(const struct config_entry *entry, char text[CONFIG_ALLOWED_BYTES]) {
    char min[CONFIG_TEXT_BYTES];
    char max[CONFIG_TEXT_BYTES];
    config_number_print(entry->type, entry->min, min);
    config_number_print(entry->type, entry->max, max);
    switch (entry->type) {
    case CONFIG_TYPE_STRING:
        snprintf(text, CONFIG_ALLOWED_BYTES, "%s", entry->format != NULL ? entry->format->allowed : "any text");
        break;
    case CONFIG_TYPE_INT:
        snprintf(text, CONFIG_ALLOWED_BYTES, "a whole number%s%s from %s to %s", entry->unit != NULL ? " of " : "",
                 entry->unit != NULL ? entry->unit : "", min, max);
        break;
    case CONFIG_TYPE_SIZE:
        snprintf(text, CONFIG_ALLOWED_BYTES, "a size from %s to %s", min, max);
        break;
    case CONFIG_TYPE_DURATION:
        snprintf(text, CONFIG_ALLOWED_BYTES, "a duration from %s to %s", min, max);
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(text, CONFIG_ALLOWED_BYTES, "true or false");
        break;
    case CONFIG_TYPE_ENUM:
        print_choices(entry, text);
        break;
    }
}

void config_flag_name(const struct config_entry *entry, char text[CONFIG_NAME_BYTES]) {
    size_t length = strlen(entry->name);
    assert(length < CONFIG_NAME_BYTES);
    for (size_t i = 0; i <= length; i++) {
        text[i] = entry->name[i] == '_' ? '-' : entry->name[i];
    }
}

void config_variable_name(const struct config_entry *entry, char text[CONFIG_NAME_BYTES + 8]) {
    size_t length = strlen(entry->name);
    assert(length < CONFIG_NAME_BYTES);
    memcpy(text, "WAYBILL_", 8);
    for (size_t i = 0; i <= length; i++) {
        text[8 + i] = (char)toupper((unsigned char)entry->name[i]);
    }
}

void config_set_string(char **target, const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    free(*target);
    *target = copy;
}
