/* The command line of a program with a config table. Part of config.c. */
#ifndef WAYBILL_BASE_CONFIG_OPTIONS_H
#define WAYBILL_BASE_CONFIG_OPTIONS_H

#include "common/base/config.h"
#include "common/base/config_value.h"

struct config_option {
    const struct config_entry *entry;
    char *text;
};

struct config_options {
    enum config_action action;
    bool tasks[CONFIG_TASKS_MAX]; /* those of the table that are asked for */
    char *file;                   /* --config, or NULL */
    struct config_option *given;
    size_t count; /* in the order given; one key may come several times, the last counts */
};

/* Parses the flags without looking at their values. On failure nothing is left to free. */
bool config_options_parse(const struct config_table *table, int argc, const char *const *argv,
                          struct config_options *options, struct error *error);
void config_options_free(struct config_options *options);

/* "; did you mean <prefix><name>?", or "" where no key is near. `name` is lower_snake. */
void config_suggest(const struct config_table *table, const char *name, const char *prefix,
                    char text[CONFIG_NAME_BYTES + 32]);

#endif
