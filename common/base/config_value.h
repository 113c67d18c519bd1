/* One value of one config entry: from text, to text, and what is allowed. Part of config.c. */
#ifndef WAYBILL_BASE_CONFIG_VALUE_H
#define WAYBILL_BASE_CONFIG_VALUE_H

#include "common/base/config.h"

enum {
    CONFIG_NAME_BYTES = 64, /* longest key, with the NUL */
    CONFIG_TEXT_BYTES = 32, /* longest printed number, with its unit and the NUL */
    CONFIG_ALLOWED_BYTES = 256,
    CONFIG_STRING_BYTES = 4096, /* longest string value, with the NUL */
};

/* Reads `text` into the entry's member. On failure leaves the member alone and says what was
 * found and what is allowed; the caller puts the place before it. */
bool config_value_set(const struct config_entry *entry, void *values, const char *text, struct error *error);

/* A number as a file would have it: the largest unit that fits without a rest. */
void config_number_print(enum config_type type, int64_t number, char text[CONFIG_TEXT_BYTES]);

/* The value as a file would have it, strings without quotes; `scratch` may hold it. */
const char *config_value_text(const struct config_entry *entry, const void *values, char scratch[CONFIG_TEXT_BYTES]);

/* "a whole number of records from 1 to 65536". */
void config_allowed_text(const struct config_entry *entry, char text[CONFIG_ALLOWED_BYTES]);

/* "--kebab-case" without the dashes, and "WAYBILL_UPPER_SNAKE". */
void config_flag_name(const struct config_entry *entry, char text[CONFIG_NAME_BYTES]);
void config_variable_name(const struct config_entry *entry, char text[CONFIG_NAME_BYTES + 8]);

#endif
