/* Log lines are events with fields: one JSON object a line on standard error.
 *
 *   log_info("segment_sealed", LOG_INT("segment", 7), LOG_STR("path", path));
 *
 * Any thread. The event name is a token; fields say the rest. Errors say what to do next
 * in a field "hint". The only global of the code base: the level and the service name. */
#ifndef WAYBILL_BASE_LOG_H
#define WAYBILL_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *name; /* NULL ends the list */
    enum { LOG_FIELD_INT, LOG_FIELD_STR, LOG_FIELD_ERROR } kind;
    int64_t number;
    const void *pointer;
};

#define LOG_INT(name, value) ((struct log_field){(name), LOG_FIELD_INT, (int64_t)(value), 0})
#define LOG_STR(name, value) ((struct log_field){(name), LOG_FIELD_STR, 0, (value)})
/* Writes fields "code", "reason" and "error". */
#define LOG_ERROR(value) ((struct log_field){"error", LOG_FIELD_ERROR, 0, (value)})

/* Sets the service's name and the least level that is written. Called once, before threads. */
void log_setup(const char *service, enum log_level least);
bool log_level_parse(const char *text, enum log_level *level);

void log_event(enum log_level level, const char *event, const struct log_field *fields);

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...) log_event(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_warn(event, ...) log_event(LOG_LEVEL_WARN, event, LOG_FIELDS(__VA_ARGS__))
#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))

#endif
