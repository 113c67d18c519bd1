#include "common/base/log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

static const char *log_service = "waybill";
static enum log_level log_least = LOG_LEVEL_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *service, enum log_level least) {
    log_service = service;
    log_least = least;
}

bool log_level_parse(const char *text, enum log_level *level) {
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Text that may not be UTF-8 (a peer's words, a file name) must not cost us the line. */
static json_t *json_text(const char *text) {
    json_t *value = json_string(text == NULL ? "" : text);
    return value != NULL ? value : json_string("(not UTF-8)");
}

static void add_error(json_t *line, const struct error *error) {
    json_object_set_new(line, "code", json_string(error_code_name(error->code)));
    json_object_set_new(line, "reason", json_text(error->reason));
    json_object_set_new(line, "error", json_text(error->message));
}

static void add_time(json_t *line) {
    int64_t now_us = clock_unix_us(&system_clock);
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    char text[48];
    snprintf(text, sizeof text, "%s.%06dZ", date, (int)(now_us % 1000000));
    json_object_set_new(line, "time", json_string(text));
}

void log_event(enum log_level level, const char *event, const struct log_field *fields) {
    if (level < log_least) {
        return;
    }
    json_t *line = json_object();
    add_time(line);
    json_object_set_new(line, "level", json_string(level_names[level]));
    json_object_set_new(line, "service", json_string(log_service));
    json_object_set_new(line, "event", json_text(event));
    for (const struct log_field *field = fields; field->name != NULL; field++) {
        switch (field->kind) {
        case LOG_FIELD_INT:
            json_object_set_new(line, field->name, json_integer(field->number));
            break;
        case LOG_FIELD_STR:
            json_object_set_new(line, field->name, json_text(field->pointer));
            break;
        case LOG_FIELD_ERROR:
            add_error(line, field->pointer);
            break;
        }
    }
    char *text = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text != NULL) {
        size_t length = strlen(text);
        text[length] = '\n'; /* the NUL's place: one write keeps lines of threads apart */
        ssize_t ignored = write(STDERR_FILENO, text, length + 1);
        (void)ignored;
        free(text);
    }
    json_decref(line);
}
