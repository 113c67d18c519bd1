#include "common/base/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/config_value.h"

struct file_reader {
    const char *path;
    yaml_parser_t parser;
    config_file_visitor *visit;
    void *context;
    struct error *error;
};

static bool fail_at(struct file_reader *reader, size_t line, const char *problem) {
    return error_set(reader->error, ERROR_INVALID_ARGUMENT, "BAD_CONFIG", "%s:%zu: %s", reader->path, line + 1,
                     problem);
}

static bool fail_syntax(struct file_reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    char problem[200];
    snprintf(problem, sizeof problem, "not YAML: %s", parser->problem != NULL ? parser->problem : "unreadable");
    /* Wrong encodings come without a place in the text, only with one in the bytes. */
    size_t line = parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
    return fail_at(reader, line, problem);
}

static bool next_event(struct file_reader *reader, yaml_event_t *event) {
    return yaml_parser_parse(&reader->parser, event) != 0 || fail_syntax(reader);
}

static const char *scalar_text(const yaml_event_t *event) {
    return (const char *)event->data.scalar.value;
}

static bool has_nul(const yaml_event_t *event) {
    return strlen(scalar_text(event)) != event->data.scalar.length;
}

/* `key:` with nothing behind it, or null: most likely a template that was not filled in. */
static bool is_null(const yaml_event_t *event) {
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    const char *text = scalar_text(event);
    return *text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

static bool take_scalar(struct file_reader *reader, const char *key, const yaml_event_t *event) {
    size_t line = event->start_mark.line;
    char problem[CONFIG_NAME_BYTES + 96];
    if (event->data.scalar.anchor != NULL || has_nul(event)) {
        snprintf(problem, sizeof problem, "%s: anchors and NUL characters are not taken", key);
        return fail_at(reader, line, problem);
    }
    if (is_null(event)) {
        snprintf(problem, sizeof problem, "%s: has no value; write \"\" for an empty text, or leave the key out", key);
        return fail_at(reader, line, problem);
    }
    if (reader->visit(reader->context, key, scalar_text(event), (int)line + 1, reader->error)) {
        return true;
    }
    char place[ERROR_MESSAGE_BYTES];
    snprintf(place, sizeof place, "%s:%zu: %s", reader->path, line + 1, key);
    error_prefix(reader->error, place);
    return false;
}

static bool take_mapping(struct file_reader *reader, const char *prefix, int depth);

static bool take_value(struct file_reader *reader, const char *key, int depth) {
    yaml_event_t event;
    if (!next_event(reader, &event)) {
        return false;
    }
    bool ok;
    char problem[CONFIG_NAME_BYTES + 64];
    switch (event.type) {
    case YAML_SCALAR_EVENT:
        ok = take_scalar(reader, key, &event);
        break;
    case YAML_MAPPING_START_EVENT:
        if (depth == CONFIG_FILE_MAX_DEPTH || event.data.mapping_start.anchor != NULL) {
            ok = fail_at(reader, event.start_mark.line, "nested too deeply, or with an anchor");
        } else {
            ok = take_mapping(reader, key, depth + 1);
        }
        break;
    default:
        snprintf(problem, sizeof problem, "%s: found a list or an alias; allowed: one value", key);
        ok = fail_at(reader, event.start_mark.line, problem);
        break;
    }
    yaml_event_delete(&event);
    return ok;
}

/* Joins the key to those above it. */
static bool take_key(struct file_reader *reader, const char *prefix, const yaml_event_t *event,
                     char key[CONFIG_NAME_BYTES]) {
    static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    if (event->type != YAML_SCALAR_EVENT || has_nul(event) || event->data.scalar.length == 0 ||
        strspn(scalar_text(event), name) != event->data.scalar.length) {
        return fail_at(reader, event->start_mark.line, "found a key that is not a name; allowed: lower_snake names");
    }
    int length = snprintf(key, CONFIG_NAME_BYTES, "%s%s%s", prefix, *prefix == '\0' ? "" : "_", scalar_text(event));
    if (length >= CONFIG_NAME_BYTES) {
        return fail_at(reader, event->start_mark.line, "found a key that is longer than any known one");
    }
    return true;
}

/* The mapping's start is read already; ends after its end. */
static bool take_mapping(struct file_reader *reader, const char *prefix, int depth) {
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event)) {
            return false;
        }
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        char key[CONFIG_NAME_BYTES];
        bool ok = take_key(reader, prefix, &event, key) && take_value(reader, key, depth);
        yaml_event_delete(&event);
        if (!ok) {
            return false;
        }
    }
}

static bool take_document(struct file_reader *reader) {
    yaml_event_t event;
    if (!next_event(reader, &event)) {
        return false;
    }
    bool ok = true;
    if (event.type == YAML_MAPPING_START_EVENT) {
        ok = take_mapping(reader, "", 1);
    } else if (event.type != YAML_SCALAR_EVENT || !is_null(&event)) {
        ok = fail_at(reader, event.start_mark.line, "found no mapping; allowed: lines of `key: value`");
    }
    yaml_event_delete(&event);
    return ok;
}

static bool take_stream(struct file_reader *reader) {
    int documents = 0;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event)) {
            return false;
        }
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) {
            return true;
        }
        if (type == YAML_DOCUMENT_START_EVENT) {
            if (++documents > 1) {
                return fail_at(reader, line, "found a second document; allowed: one");
            }
            if (!take_document(reader)) {
                return false;
            }
        }
    }
}

/* The whole file in memory; the caller frees it. */
static unsigned char *read_whole(const char *path, size_t *size, struct error *error) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        error_set(error, ERROR_INVALID_ARGUMENT, "BAD_CONFIG", "%s: %s", path, strerror(errno));
        return NULL;
    }
    unsigned char *text = malloc(CONFIG_FILE_MAX_BYTES + 1);
    if (text == NULL) {
        abort();
    }
    *size = fread(text, 1, CONFIG_FILE_MAX_BYTES + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed == 0 && *size <= CONFIG_FILE_MAX_BYTES) {
        return text;
    }
    error_set(error, ERROR_INVALID_ARGUMENT, "BAD_CONFIG", "%s: %s", path,
              failed != 0 ? strerror(failed) : "longer than 1 MiB");
    free(text);
    return NULL;
}

bool config_file_read(const char *path, config_file_visitor *visit, void *context, struct error *error) {
    size_t size;
    unsigned char *text = read_whole(path, &size, error);
    if (text == NULL) {
        return false;
    }
    struct file_reader reader = {.path = path, .visit = visit, .context = context, .error = error};
    if (yaml_parser_initialize(&reader.parser) == 0) {
        abort(); /* only when memory is gone */
    }
    yaml_parser_set_input_string(&reader.parser, text, size);
    bool ok = take_stream(&reader);
    yaml_parser_delete(&reader.parser);
    free(text);
    return ok;
}
