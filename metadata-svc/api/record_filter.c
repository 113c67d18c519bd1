#include "metadata-svc/api/record_filter.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "waybill/v1/record.pb-c.h"

enum filter_kind { FILTER_ALL, FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_RESTRICTION };
enum comparator { IS_EQUAL, IS_NOT_EQUAL, IS_LESS, IS_AT_MOST, IS_MORE, IS_AT_LEAST, HAS };
enum field_kind {
    FIELD_KEY,
    FIELD_STATE,
    FIELD_CONTENT_TYPE,
    FIELD_SIZE,
    FIELD_VERSION,
    FIELD_REVISION,
    FIELD_CREATE_TIME,
    FIELD_UPDATE_TIME,
    FIELD_STORE_TIME,
    FIELD_EXPIRE_TIME,
    FIELD_ATTRIBUTE,
    FIELD_ATTRIBUTES,
};

/* A value as it may be meant: the field decides. */
struct operand {
    const char *text;
    bool is_number;
    bool is_whole;
    double number;
    int64_t whole;
    bool is_time;
    int64_t time_us;
};

struct record_filter {
    enum filter_kind kind;
    const struct record_filter *left;
    const struct record_filter *right;
    enum field_kind field;
    const char *attribute;
    enum comparator comparator;
    struct operand value;
};

/* ---- parsing ---- */

struct parser {
    const char *text;
    const char *at;
    struct arena *arena;
    struct error *error;
    unsigned depth;
};

static const struct record_filter *fail(struct parser *parser, const char *what) {
    error_set_field(parser->error, "filter", "BAD_FILTER", "at character %zu: %s",
                    (size_t)(parser->at - parser->text) + 1, what);
    return NULL;
}

static struct record_filter *make(struct parser *parser, enum filter_kind kind) {
    struct record_filter *filter = arena_zalloc(parser->arena, sizeof *filter);
    filter->kind = kind;
    return filter;
}

static const struct record_filter *join(struct parser *parser, enum filter_kind kind, const struct record_filter *left,
                                        const struct record_filter *right) {
    struct record_filter *filter = make(parser, kind);
    filter->left = left;
    filter->right = right;
    return filter;
}

static void skip_space(struct parser *parser) {
    while (isspace((unsigned char)*parser->at)) {
        parser->at++;
    }
}

static bool is_word_character(char c) {
    return c != '\0' && !isspace((unsigned char)c) && strchr("()=!<>:\"'", c) == NULL;
}

/* Whether the word comes next, as a word of its own; then it is taken. */
static bool take_word(struct parser *parser, const char *word) {
    skip_space(parser);
    size_t size = strlen(word);
    if (strncmp(parser->at, word, size) != 0 || is_word_character(parser->at[size])) {
        return false;
    }
    parser->at += size;
    return true;
}

static char *take_quoted(struct parser *parser) {
    char quote = *parser->at++;
    char *out = arena_alloc(parser->arena, strlen(parser->at) + 1);
    size_t size = 0;
    while (*parser->at != quote) {
        if (*parser->at == '\\') {
            parser->at++;
        }
        if (*parser->at == '\0') {
            fail(parser, "a quoted text has no end");
            return NULL;
        }
        out[size++] = *parser->at++;
    }
    parser->at++;
    out[size] = '\0';
    return out;
}

/* A bare word, which ends also at one of `stops`. */
static char *take_bare(struct parser *parser, const char *stops) {
    const char *start = parser->at;
    while (is_word_character(*parser->at) && strchr(stops, *parser->at) == NULL) {
        parser->at++;
    }
    size_t size = (size_t)(parser->at - start);
    if (size == 0) {
        fail(parser, "a field or a value is missing");
        return NULL;
    }
    char *out = arena_zalloc(parser->arena, size + 1);
    memcpy(out, start, size);
    return out;
}

static bool is_quote(char c) {
    return c == '"' || c == '\'';
}

static const struct {
    const char *name;
    enum field_kind field;
} fields[] = {
    {"key", FIELD_KEY},
    {"state", FIELD_STATE},
    {"content_type", FIELD_CONTENT_TYPE},
    {"size", FIELD_SIZE},
    {"version", FIELD_VERSION},
    {"revision", FIELD_REVISION},
    {"create_time", FIELD_CREATE_TIME},
    {"update_time", FIELD_UPDATE_TIME},
    {"store_time", FIELD_STORE_TIME},
    {"expire_time", FIELD_EXPIRE_TIME},
    {"attributes", FIELD_ATTRIBUTES},
};

static bool take_field(struct parser *parser, struct record_filter *filter) {
    const char *start = parser->at;
    const char *name = take_bare(parser, ".");
    if (name == NULL) {
        return false;
    }
    size_t i = 0;
    while (i < sizeof fields / sizeof fields[0] && strcmp(fields[i].name, name) != 0) {
        i++;
    }
    if (i == sizeof fields / sizeof fields[0]) {
        parser->at = start;
        return fail(parser, "there is no such field") != NULL;
    }
    filter->field = fields[i].field;
    if (*parser->at != '.') {
        return true;
    }
    if (filter->field != FIELD_ATTRIBUTES) {
        return fail(parser, "the field has no parts") != NULL;
    }
    parser->at++;
    filter->field = FIELD_ATTRIBUTE;
    filter->attribute = is_quote(*parser->at) ? take_quoted(parser) : take_bare(parser, "");
    return filter->attribute != NULL;
}

static bool take_comparator(struct parser *parser, enum comparator *comparator) {
    static const struct {
        const char *sign;
        enum comparator comparator;
    } signs[] = {{"<=", IS_AT_MOST}, {">=", IS_AT_LEAST}, {"!=", IS_NOT_EQUAL}, {"=", IS_EQUAL}, {"<", IS_LESS},
                 {">", IS_MORE},     {":", HAS}};
    skip_space(parser);
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        size_t size = strlen(signs[i].sign);
        if (strncmp(parser->at, signs[i].sign, size) == 0) {
            parser->at += size;
            *comparator = signs[i].comparator;
            return true;
        }
    }
    return fail(parser, "one of = != < <= > >= : is missing") != NULL;
}

/* RFC 3339: 2026-01-02T03:04:05.678Z, or with an offset. */
static bool parse_time(const char *text, int64_t *unix_us) {
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest == NULL) {
        return false;
    }
    int64_t fraction_us = 0;
    if (*rest == '.') {
        int64_t unit = 100000;
        for (rest++; isdigit((unsigned char)*rest); rest++, unit /= 10) {
            fraction_us += (*rest - '0') * unit;
        }
    }
    int64_t offset_s = 0;
    if (*rest == '+' || *rest == '-') {
        int hours;
        int minutes;
        char end;
        if (sscanf(rest + 1, "%2d:%2d%c", &hours, &minutes, &end) != 2) {
            return false;
        }
        offset_s = (hours * 3600 + minutes * 60) * (*rest == '-' ? -1 : 1);
    } else if (strcmp(rest, "Z") != 0 && strcmp(rest, "z") != 0) {
        return false;
    }
    *unix_us = ((int64_t)timegm(&parts) - offset_s) * 1000000 + fraction_us;
    return true;
}

static struct operand understand(const char *text) {
    struct operand value = {.text = text};
    char *end;
    value.whole = strtoll(text, &end, 10);
    value.is_whole = text[0] != '\0' && *end == '\0';
    value.number = strtod(text, &end);
    value.is_number = text[0] != '\0' && *end == '\0';
    value.is_time = parse_time(text, &value.time_us);
    return value;
}

/* The states by their names, with or without the enum's prefix. */
static bool understand_state(struct parser *parser, struct operand *value) {
    static const char prefix[] = "RECORD_STATE_";
    const char *name = strncmp(value->text, prefix, strlen(prefix)) == 0
                           ? value->text
                           : arena_printf(parser->arena, "%s%s", prefix, value->text);
    const ProtobufCEnumValue *state =
        protobuf_c_enum_descriptor_get_value_by_name(&waybill__v1__record_state__descriptor, name);
    if (state == NULL) {
        return fail(parser, "there is no such state") != NULL;
    }
    value->whole = state->value;
    return true;
}

static const struct record_filter *parse_restriction(struct parser *parser) {
    struct record_filter *filter = make(parser, FILTER_RESTRICTION);
    if (!take_field(parser, filter) || !take_comparator(parser, &filter->comparator)) {
        return NULL;
    }
    skip_space(parser);
    const char *text;
    if (is_quote(*parser->at)) {
        text = take_quoted(parser);
    } else {
        /* A time has colons in it. */
        const char *start = parser->at;
        while (is_word_character(*parser->at) || *parser->at == ':') {
            parser->at++;
        }
        size_t size = (size_t)(parser->at - start);
        char *out = arena_zalloc(parser->arena, size + 1);
        memcpy(out, start, size);
        text = size > 0 ? out : (const char *)fail(parser, "a value is missing");
    }
    if (text == NULL) {
        return NULL;
    }
    filter->value = understand(text);
    if (filter->field == FIELD_STATE && !understand_state(parser, &filter->value)) {
        return NULL;
    }
    if (filter->field == FIELD_ATTRIBUTES && filter->comparator != HAS) {
        return fail(parser, "attributes as a whole take only `:` and a name");
    }
    return filter;
}

static const struct record_filter *parse_all(struct parser *parser);

static const struct record_filter *parse_term(struct parser *parser) {
    skip_space(parser);
    bool negated = take_word(parser, "NOT");
    if (!negated && *parser->at == '-') {
        parser->at++;
        negated = true;
    }
    skip_space(parser);
    const struct record_filter *inner;
    if (*parser->at == '(') {
        if (++parser->depth > RECORD_FILTER_MAX_DEPTH) {
            return fail(parser, "too many parentheses in one another");
        }
        parser->at++;
        inner = parse_all(parser);
        if (inner == NULL) {
            return NULL;
        }
        skip_space(parser);
        if (*parser->at != ')') {
            return fail(parser, "a parenthesis is not closed");
        }
        parser->at++;
        parser->depth--;
    } else {
        inner = parse_restriction(parser);
    }
    return inner == NULL || !negated ? inner : join(parser, FILTER_NOT, inner, NULL);
}

static const struct record_filter *parse_factor(struct parser *parser) {
    const struct record_filter *left = parse_term(parser);
    while (left != NULL && take_word(parser, "OR")) {
        const struct record_filter *right = parse_term(parser);
        left = right == NULL ? NULL : join(parser, FILTER_OR, left, right);
    }
    return left;
}

static const struct record_filter *parse_all(struct parser *parser) {
    const struct record_filter *left = parse_factor(parser);
    while (left != NULL) {
        bool more = take_word(parser, "AND");
        skip_space(parser);
        if (!more && (*parser->at == '\0' || *parser->at == ')')) {
            break;
        }
        const struct record_filter *right = parse_factor(parser);
        left = right == NULL ? NULL : join(parser, FILTER_AND, left, right);
    }
    return left;
}

const struct record_filter *record_filter_parse(const char *text, struct arena *arena, struct error *error) {
    struct parser parser = {.text = text, .at = text, .arena = arena, .error = error};
    if (strlen(text) > RECORD_FILTER_MAX_BYTES) {
        return fail(&parser, "the filter is too long");
    }
    skip_space(&parser);
    if (*parser.at == '\0') {
        return make(&parser, FILTER_ALL);
    }
    const struct record_filter *filter = parse_all(&parser);
    if (filter != NULL && *parser.at != '\0') {
        return fail(&parser, "a parenthesis is closed that was not opened");
    }
    return filter;
}

/* ---- matching ---- */

static bool holds(enum comparator comparator, int order) {
    switch (comparator) {
    case HAS:
    case IS_EQUAL:
        return order == 0;
    case IS_NOT_EQUAL:
        return order != 0;
    case IS_LESS:
        return order < 0;
    case IS_AT_MOST:
        return order <= 0;
    case IS_MORE:
        return order > 0;
    case IS_AT_LEAST:
        return order >= 0;
    }
    return false;
}

static bool text_is_like(const char *text, const char *pattern) {
    size_t size = strlen(pattern);
    size_t length = strlen(text);
    if (size > 0 && pattern[size - 1] == '*') {
        return strncmp(text, pattern, size - 1) == 0;
    }
    if (pattern[0] == '*') {
        return length >= size - 1 && strcmp(text + length - (size - 1), pattern + 1) == 0;
    }
    return strcmp(text, pattern) == 0;
}

static bool text_matches(const struct record_filter *filter, const char *text) {
    switch (filter->comparator) {
    case HAS:
    case IS_EQUAL:
        return text_is_like(text, filter->value.text);
    case IS_NOT_EQUAL:
        return !text_is_like(text, filter->value.text);
    default:
        return holds(filter->comparator, strcmp(text, filter->value.text));
    }
}

static int order_of(int64_t left, int64_t right) {
    return (left > right) - (left < right);
}

static bool whole_matches(const struct record_filter *filter, int64_t whole) {
    if (filter->value.is_whole || filter->field == FIELD_STATE) {
        return holds(filter->comparator, order_of(whole, filter->value.whole));
    }
    double number = (double)whole;
    return filter->value.is_number &&
           holds(filter->comparator, (number > filter->value.number) - (number < filter->value.number));
}

static bool time_matches(const struct record_filter *filter, int64_t unix_us) {
    return unix_us != 0 && filter->value.is_time && holds(filter->comparator, order_of(unix_us, filter->value.time_us));
}

static bool bool_matches(const struct record_filter *filter, bool value) {
    bool is_true = strcmp(filter->value.text, "true") == 0;
    bool is_known = is_true || strcmp(filter->value.text, "false") == 0;
    return is_known && holds(filter->comparator, order_of(value, is_true));
}

static const struct attribute *find_attribute(const struct record *record, const char *name) {
    for (size_t i = 0; i < record->attribute_count; i++) {
        if (strcmp(record->attributes[i].name, name) == 0) {
            return &record->attributes[i];
        }
    }
    return NULL;
}

static bool attribute_matches(const struct record_filter *filter, const struct attribute *attribute) {
    if (attribute == NULL) {
        return false;
    }
    if (filter->comparator == HAS && strcmp(filter->value.text, "*") == 0) {
        return true;
    }
    switch (attribute->kind) {
    case ATTRIBUTE_STRING:
        return text_matches(filter, attribute->text);
    case ATTRIBUTE_INT:
        return whole_matches(filter, attribute->whole);
    case ATTRIBUTE_DOUBLE:
        return filter->value.is_number && holds(filter->comparator, (attribute->real > filter->value.number) -
                                                                        (attribute->real < filter->value.number));
    case ATTRIBUTE_BOOL:
        return bool_matches(filter, attribute->whole != 0);
    case ATTRIBUTE_TIMESTAMP:
        return filter->value.is_time &&
               holds(filter->comparator,
                     order_of(attribute->time.seconds * 1000000 + attribute->time.nanos / 1000, filter->value.time_us));
    case ATTRIBUTE_BYTES:
        break;
    }
    return false; /* bytes have no written form */
}

static bool restriction_holds(const struct record_filter *filter, const struct record *record) {
    switch (filter->field) {
    case FIELD_KEY:
        return text_matches(filter, record->key);
    case FIELD_STATE:
        return whole_matches(filter, record->state);
    case FIELD_CONTENT_TYPE:
        return text_matches(filter, record->content_type);
    case FIELD_SIZE:
        return record->has_size && whole_matches(filter, record->size);
    case FIELD_VERSION:
        return whole_matches(filter, record->version);
    case FIELD_REVISION:
        return whole_matches(filter, record->revision);
    case FIELD_CREATE_TIME:
        return time_matches(filter, record->create_us);
    case FIELD_UPDATE_TIME:
        return time_matches(filter, record->update_us);
    case FIELD_STORE_TIME:
        return time_matches(filter, record->store_us);
    case FIELD_EXPIRE_TIME:
        return time_matches(filter, record->expire_us);
    case FIELD_ATTRIBUTE:
        return attribute_matches(filter, find_attribute(record, filter->attribute));
    case FIELD_ATTRIBUTES:
        return find_attribute(record, filter->value.text) != NULL;
    }
    return false;
}

bool record_filter_matches(const struct record_filter *filter, const struct record *record) {
    switch (filter->kind) {
    case FILTER_ALL:
        return true;
    case FILTER_AND:
        return record_filter_matches(filter->left, record) && record_filter_matches(filter->right, record);
    case FILTER_OR:
        return record_filter_matches(filter->left, record) || record_filter_matches(filter->right, record);
    case FILTER_NOT:
        return !record_filter_matches(filter->left, record);
    case FILTER_RESTRICTION:
        return restriction_holds(filter, record);
    }
    return false;
}
