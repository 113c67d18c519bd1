/* Configuration from one table: each key of a program once, with its type, default, range
 * and help. From the table come the YAML keys, the environment variables, the flags,
 * --help, --check-config and the tables of docs/configuration.md.
 *
 * Sources in rising order: defaults; a YAML file (`--config FILE` or WAYBILL_CONFIG); the
 * environment, WAYBILL_<UPPER_SNAKE>; flags, `--kebab-case value`. In the file, a nested
 * mapping means the same as its keys joined by '_'.
 *
 * An unknown key or flag, a wrong type and a value out of range are errors that name the
 * place (file:line, variable, flag), what was found and what is allowed; this goes for every
 * source, also where a higher one overrides it. An unknown WAYBILL_ variable is only warned
 * of: Kubernetes and neighbours put such variables into an environment that they share.
 *
 * How values are written: sizes `4096`, `64KiB`, `8 MiB`, `1GiB`, `2TiB`; durations `250ms`,
 * `10s`, `5m`, `24h` (`0` needs no unit); booleans `true`, `false`.
 *
 * Everything here runs before threads start. */
#ifndef WAYBILL_BASE_CONFIG_H
#define WAYBILL_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/error.h"

enum config_type {
    CONFIG_TYPE_STRING,   /* char *, never NULL, owned by the values struct */
    CONFIG_TYPE_INT,      /* int64_t */
    CONFIG_TYPE_SIZE,     /* int64_t, bytes */
    CONFIG_TYPE_DURATION, /* int64_t, milliseconds */
    CONFIG_TYPE_BOOL,     /* bool */
    CONFIG_TYPE_ENUM,     /* an enum whose values are the indices into `choices` */
};

/* What a string may look like. */
struct config_format {
    const char *allowed; /* for people: completes "allowed: ..." */
    bool (*matches)(const char *text);
};

extern const struct config_format config_format_address;          /* host:port, [v6]:port; port 0 is fine */
extern const struct config_format config_format_optional_address; /* the same, or empty */
extern const struct config_format config_format_token;            /* [A-Za-z0-9_-]{1,32}: a NATS subject token */
extern const struct config_format config_format_host_name;        /* [A-Za-z0-9._-]{1,64} */
extern const struct config_format config_format_optional_host_name;
extern const struct config_format config_format_path;          /* 1-1024 bytes */
extern const struct config_format config_format_optional_path; /* the same, or empty */
extern const struct config_format config_format_optional_target;
extern const struct config_format config_format_target; /* what gRPC can dial: host:port, dns:///..., unix:... */
extern const struct config_format config_format_optional_targets; /* with commas between */
extern const struct config_format config_format_nats_urls;        /* nats:// or tls:// URLs, comma between */

struct config_entry {
    const char *name; /* lower_snake */
    enum config_type type;
    size_t offset;
    const char *initial;                /* the default, written as in a file */
    int64_t min;                        /* inclusive; INT, SIZE (bytes), DURATION (ms) */
    int64_t max;                        /* inclusive */
    const struct config_format *format; /* STRING */
    const char *const *choices;         /* ENUM; NULL ends them */
    const char *unit;                   /* for the docs where the type does not say it: "records"; or NULL */
    const char *derived;                /* for the docs where an empty default is filled in: "<data_dir>/spool" */
    const char *help;
};

/* Entries are written with these, which refuse a member of the wrong type at compile time:
 *   CONFIG_INT(struct thing_config, threads, "threads", .initial = "4", .min = 1, .max = 64, .help = "...") */
#define CONFIG_STRING(type_, member_, name_, ...)                                                                      \
    CONFIG_ENTRY(type_, member_, char *, CONFIG_TYPE_STRING, name_, __VA_ARGS__)
#define CONFIG_INT(type_, member_, name_, ...)                                                                         \
    CONFIG_ENTRY(type_, member_, int64_t, CONFIG_TYPE_INT, name_, __VA_ARGS__)
#define CONFIG_SIZE(type_, member_, name_, ...)                                                                        \
    CONFIG_ENTRY(type_, member_, int64_t, CONFIG_TYPE_SIZE, name_, __VA_ARGS__)
#define CONFIG_DURATION(type_, member_, name_, ...)                                                                    \
    CONFIG_ENTRY(type_, member_, int64_t, CONFIG_TYPE_DURATION, name_, __VA_ARGS__)
#define CONFIG_BOOL(type_, member_, name_, ...) CONFIG_ENTRY(type_, member_, bool, CONFIG_TYPE_BOOL, name_, __VA_ARGS__)
#define CONFIG_ENUM(type_, member_, name_, ...)                                                                        \
    CONFIG_ENTRY(type_, member_, unsigned, CONFIG_TYPE_ENUM, name_, __VA_ARGS__) /* gcc's enums are unsigned */
#define CONFIG_ENTRY(type_, member_, c_type_, config_type_, name_, ...)                                                \
    {                                                                                                                  \
        .name = (name_), .type = (config_type_),                                                                       \
        .offset = _Generic(((type_ *)0)->member_, c_type_                                                              \
                           : offsetof(type_, member_)),                                                                \
        __VA_ARGS__                                                                                                    \
    }

enum { CONFIG_TASKS_MAX = 8 };

struct config_task {
    const char *flag; /* "repair" */
    const char *help;
    size_t member; /* offset of the bool in the values */
};

struct config_table {
    const char *program; /* "waybill-metadata-svc" */
    const char *summary; /* one line for --help */
    const struct config_entry *entries;
    size_t count;
    /* Flags that are no keys: each sets a bool, for a task that is done instead of serving. */
    const struct config_task *tasks;
    size_t task_count;
    /* Fills derived defaults and checks what one key alone cannot show; may be NULL. */
    bool (*complete)(void *values, struct error *error);
};

/* What the command line asks for. */
enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,   /* --check-config */
    CONFIG_HELP,    /* --help */
    CONFIG_VERSION, /* --version */
    CONFIG_DOCS,    /* --print-config-docs */
};

/* Where each value came from, for --check-config. */
struct config_origins;

/* For main(): reads all the sources into `values`, the struct that the table describes.
 * True: go on, and config_free the values in the end. False: all is said and freed; exit with
 * *exit_status, 0 after --help, --version, a good --check-config; 2 after an error. */
bool config_start(const struct config_table *table, int argc, char **argv, void *values, int *exit_status);

/* The same without printing: INVALID_ARGUMENT on a bad value (reason BAD_CONFIG), and then
 * nothing is left to free. `environment` is like environ. `origins` may be NULL; else the
 * caller frees it with free(). With an action other than RUN and CHECK no value is set. */
bool config_load(const struct config_table *table, int argc, const char *const *argv, const char *const *environment,
                 void *values, struct config_origins **origins, enum config_action *action, struct error *error);
void config_free(const struct config_table *table, void *values);

/* Sets a string value of the struct, as `complete` does for derived defaults. */
void config_set_string(char **member, const char *text);

/* The values as YAML that --config accepts; with origins, as comments. */
void config_print_yaml(const struct config_table *table, const void *values, const struct config_origins *origins,
                       FILE *out);
/* The keys as a Markdown table. */
void config_print_docs(const struct config_table *table, FILE *out);
void config_print_help(const struct config_table *table, FILE *out);

#endif
