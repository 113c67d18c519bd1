#include "cli/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/options.h"
#include "cli/output.h"
#include "common/base/config_value.h"
#include "common/base/names.h"

/* ---- numbers ---- */

static bool number(struct cli *cli, const char *option, enum config_type type, const char *text, int64_t min,
                   int64_t max, int64_t *out) {
    if (text == NULL) {
        return true;
    }
    const struct config_entry entry = {.name = option, .type = type, .min = min, .max = max};
    struct error error;
    if (config_value_set(&entry, out, text, &error)) {
        return true;
    }
    cli_usage(cli, "--%s: %s", option, error.message);
    return false;
}

bool value_duration(struct cli *cli, const char *option, const char *text, int64_t *ms) {
    return number(cli, option, CONFIG_TYPE_DURATION, text, 0, INT64_C(10) * 365 * 86400 * 1000, ms);
}

bool value_size(struct cli *cli, const char *option, const char *text, int64_t *bytes) {
    return number(cli, option, CONFIG_TYPE_SIZE, text, 0, INT64_MAX, bytes);
}

bool value_bool(struct cli *cli, const char *option, const char *text, bool *value) {
    if (text != NULL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        cli->usage_status = cli_usage(cli, "--%s: \"%s\" is neither true nor false", option, text);
        return false;
    }
    *value = text != NULL ? strcmp(text, "true") == 0 : *value;
    return true;
}

bool value_integer(struct cli *cli, const char *option, const char *text, int64_t min, int64_t max, int64_t *out) {
    return number(cli, option, CONFIG_TYPE_INT, text, min, max, out);
}

/* A plain decimal number up to `end`. */
static bool plain_number(const char *text, const char *end, int64_t *out) {
    if (text == end || !isdigit((unsigned char)*text)) {
        return false;
    }
    char *stop;
    errno = 0;
    long long value = strtoll(text, &stop, 10);
    *out = value;
    return stop == end && errno == 0;
}

bool value_range(struct cli *cli, const char *text, int64_t *offset, int64_t *limit) {
    if (text == NULL) {
        return true;
    }
    const char *end = text + strlen(text);
    const char *dash = strchr(text, '-');
    int64_t first = 0;
    int64_t last = 0;
    bool has_first = dash != NULL && dash > text;
    bool has_last = dash != NULL && dash + 1 < end;
    bool good = (has_first || has_last) && (!has_first || plain_number(text, dash, &first)) &&
                (!has_last || plain_number(dash + 1, end, &last));
    good = good && (has_first ? !has_last || last >= first : last > 0);
    if (!good) {
        cli_usage(cli, "--range: \"%s\" is not FIRST-LAST, FIRST- or -COUNT", text);
        return false;
    }
    *offset = has_first ? first : -last;
    *limit = has_first && has_last ? last - first + 1 : 0;
    return true;
}

/* ---- names ---- */

bool value_bucket(struct cli *cli, const char *text) {
    struct error error;
    if (name_check_bucket(text, "bucket", &error)) {
        return true;
    }
    cli_usage(cli, "\"%s\": %s", text, error.message);
    return false;
}

bool value_target(struct cli *cli, const char *text, struct target *target) {
    const char *slash = strchr(text, '/');
    size_t size = slash != NULL ? (size_t)(slash - text) : strlen(text);
    target->bucket = arena_printf(&cli->arena, "%.*s", (int)(size < 4096 ? size : 4096), text);
    target->key = slash != NULL ? slash + 1 : "";
    return value_bucket(cli, target->bucket);
}

bool value_key(struct cli *cli, const char *text, struct target *target) {
    if (!value_target(cli, text, target)) {
        return false;
    }
    struct error error;
    if (name_check_key(target->key, "key", &error)) {
        return true;
    }
    cli_usage(cli, "\"%s\" is not BUCKET/KEY: %s", text, error.message);
    return false;
}

const char *value_base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool value_enum(struct cli *cli, const char *option, const ProtobufCEnumDescriptor *type, const char *text,
                int *value) {
    if (text == NULL) {
        return true;
    }
    struct buffer choices = {0};
    for (unsigned i = 0; i < type->n_values; i++) {
        char name[OUTPUT_TEXT_BYTES];
        output_enum(type, type->values[i].value, name);
        if (type->values[i].value == 0) {
            continue;
        }
        for (char *c = name; *c != '\0'; c++) {
            *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
        }
        if (strcmp(name, text) == 0) {
            *value = type->values[i].value;
            buffer_free(&choices);
            return true;
        }
        buffer_append(&choices, ", ", choices.size > 0 ? 2 : 0);
        buffer_append(&choices, name, strlen(name));
    }
    cli_usage(cli, "--%s: \"%s\" is none of %.*s", option, text, (int)choices.size, (const char *)choices.data);
    buffer_free(&choices);
    return false;
}

const char *value_content_type(const char *name) {
    static const struct {
        const char *extension, *type;
    } known[] = {
        {"avif", "image/avif"},       {"css", "text/css"},
        {"csv", "text/csv"},          {"gif", "image/gif"},
        {"gz", "application/gzip"},   {"htm", "text/html"},
        {"html", "text/html"},        {"jpeg", "image/jpeg"},
        {"jpg", "image/jpeg"},        {"js", "text/javascript"},
        {"json", "application/json"}, {"md", "text/markdown"},
        {"mp3", "audio/mpeg"},        {"mp4", "video/mp4"},
        {"ogg", "audio/ogg"},         {"parquet", "application/vnd.apache.parquet"},
        {"pdf", "application/pdf"},   {"png", "image/png"},
        {"svg", "image/svg+xml"},     {"tar", "application/x-tar"},
        {"tif", "image/tiff"},        {"tiff", "image/tiff"},
        {"txt", "text/plain"},        {"wav", "audio/wav"},
        {"webm", "video/webm"},       {"webp", "image/webp"},
        {"xml", "application/xml"},   {"yaml", "application/yaml"},
        {"yml", "application/yaml"},  {"zip", "application/zip"},
        {"zst", "application/zstd"},
    };
    const char *dot = strrchr(value_base_name(name), '.');
    for (size_t i = 0; dot != NULL && i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(dot + 1, known[i].extension) == 0) {
            return known[i].type;
        }
    }
    return "";
}
