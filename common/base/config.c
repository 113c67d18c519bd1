/* Reads the sources in rising order and remembers for each key the last one that set it.
 * The command line is parsed first, since it names the file, but takes effect last. */
#include "common/base/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/config_file.h"
#include "common/base/config_options.h"
#include "common/base/config_origin.h"
#include "common/base/config_value.h"
#include "common/base/log.h"

struct loader {
    const struct config_table *table;
    void *values;
    struct config_origins *origins;
};

static char **string_member(const struct config_entry *entry, void *values) {
    return (char **)((char *)values + entry->offset);
}

void config_free(const struct config_table *table, void *values) {
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i].type == CONFIG_TYPE_STRING) {
            char **string = string_member(&table->entries[i], values);
            free(*string);
            *string = NULL;
        }
    }
}

static void clear_strings(const struct config_table *table, void *values) {
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i].type == CONFIG_TYPE_STRING) {
            *string_member(&table->entries[i], values) = NULL;
        }
    }
}

static const struct config_entry *find(const struct config_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->entries[i].name, name) == 0) {
            return &table->entries[i];
        }
    }
    return NULL;
}

static size_t index_of(const struct config_table *table, const struct config_entry *entry) {
    return (size_t)(entry - table->entries);
}

/* ---- defaults ---- */

static void load_defaults(struct loader *loader) {
    for (size_t i = 0; i < loader->table->count; i++) {
        const struct config_entry *entry = &loader->table->entries[i];
        if (entry->type == CONFIG_TYPE_STRING && *entry->initial == '\0') {
            /* Empty may mean "derived", which no format has to allow. */
            config_set_string(string_member(entry, loader->values), "");
            continue;
        }
        struct error error;
        bool good = config_value_set(entry, loader->values, entry->initial, &error);
        if (!good) {
            fprintf(stderr, "default of %s: %s\n", entry->name, error.message);
            abort(); /* the table contradicts itself */
        }
    }
}

/* ---- file ---- */

static bool take_file_value(void *context, const char *key, const char *text, int line, struct error *error) {
    struct loader *loader = context;
    const struct config_entry *entry = find(loader->table, key);
    if (entry == NULL) {
        char nearest[CONFIG_NAME_BYTES + 32];
        config_suggest(loader->table, key, "", nearest);
        return error_set_field(error, key, "BAD_CONFIG", "unknown key%s", nearest);
    }
    struct config_origin *origin = &loader->origins->of[index_of(loader->table, entry)];
    if (origin->source == CONFIG_SOURCE_FILE) {
        return error_set_field(error, key, "BAD_CONFIG", "given twice, first in line %d", origin->line);
    }
    *origin = (struct config_origin){CONFIG_SOURCE_FILE, line};
    return config_value_set(entry, loader->values, text, error);
}

/* ---- environment ---- */

/* The value of `name`, NULL where it is not set. */
static const char *variable(const char *const *environment, const char *name) {
    size_t length = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return NULL;
}

static bool load_environment(struct loader *loader, const char *const *environment, struct error *error) {
    for (size_t i = 0; i < loader->table->count; i++) {
        const struct config_entry *entry = &loader->table->entries[i];
        char name[CONFIG_NAME_BYTES + 8];
        config_variable_name(entry, name);
        const char *text = variable(environment, name);
        if (text == NULL) {
            continue;
        }
        if (!config_value_set(entry, loader->values, text, error)) {
            error_prefix(error, name);
            return false;
        }
        loader->origins->of[i] = (struct config_origin){CONFIG_SOURCE_ENVIRONMENT, 0};
    }
    return true;
}

static bool is_known_variable(const struct config_table *table, const char *assignment, size_t name_length) {
    char name[CONFIG_NAME_BYTES + 8];
    for (size_t i = 0; i < table->count; i++) {
        config_variable_name(&table->entries[i], name);
        if (strlen(name) == name_length && strncmp(name, assignment, name_length) == 0) {
            return true;
        }
    }
    return name_length == strlen("WAYBILL_CONFIG") && strncmp(assignment, "WAYBILL_CONFIG", name_length) == 0;
}

/* Kubernetes tells every pod of every service: WAYBILL_METADATA_SERVICE_HOST, ..._PORT_7070_TCP. */
static bool is_service_link(const char *assignment, size_t name_length) {
    char name[256];
    if (name_length >= sizeof name) {
        return false;
    }
    memcpy(name, assignment, name_length);
    name[name_length] = '\0';
    return strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL ||
           strstr(name, "_PORT_") != NULL || (name_length > 5 && strcmp(name + name_length - 5, "_PORT") == 0);
}

static void warn_of_unknown_variables(const struct config_table *table, const char *const *environment) {
    for (; *environment != NULL; environment++) {
        size_t length = strcspn(*environment, "=");
        if (strncmp(*environment, "WAYBILL_", 8) != 0 || is_known_variable(table, *environment, length) ||
            is_service_link(*environment, length)) {
            continue;
        }
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(length < 255 ? length : 255), *environment);
        log_warn("unknown_variable", LOG_STR("variable", name),
                 LOG_STR("hint", "no key of this program; see --help for those there are"));
    }
}

/* ---- flags ---- */

static bool load_flags(struct loader *loader, const struct config_options *options, struct error *error) {
    for (size_t i = 0; i < options->count; i++) {
        const struct config_entry *entry = options->given[i].entry;
        if (!config_value_set(entry, loader->values, options->given[i].text, error)) {
            char flag[CONFIG_NAME_BYTES + 2] = "--";
            config_flag_name(entry, flag + 2);
            error_prefix(error, flag);
            return false;
        }
        loader->origins->of[index_of(loader->table, entry)] = (struct config_origin){CONFIG_SOURCE_FLAG, 0};
    }
    return true;
}

/* ---- all of them ---- */

static bool load_sources(struct loader *loader, const struct config_options *options, const char *const *environment,
                         struct error *error) {
    load_defaults(loader);
    const char *file = options->file != NULL ? options->file : variable(environment, "WAYBILL_CONFIG");
    if (file != NULL && *file != '\0' && !config_file_read(file, take_file_value, loader, error)) {
        return false;
    }
    return load_environment(loader, environment, error) && load_flags(loader, options, error) &&
           (loader->table->complete == NULL || loader->table->complete(loader->values, error));
}

bool config_load(const struct config_table *table, int argc, const char *const *argv, const char *const *environment,
                 void *values, struct config_origins **origins, enum config_action *action, struct error *error) {
    struct loader loader = {.table = table, .values = values, .origins = config_origins_new(table->count)};
    struct config_options options;
    clear_strings(table, values);
    bool ok = config_options_parse(table, argc, argv, &options, error);
    if (ok) {
        *action = options.action;
        if (*action == CONFIG_RUN || *action == CONFIG_CHECK) {
            warn_of_unknown_variables(table, environment);
            ok = load_sources(&loader, &options, environment, error);
            for (size_t i = 0; i < table->task_count; i++) {
                *(bool *)((char *)values + table->tasks[i].member) = options.tasks[i];
            }
        }
        config_options_free(&options);
    }
    if (!ok) {
        config_free(table, values);
    }
    if (ok && origins != NULL) {
        *origins = loader.origins;
    } else {
        free(loader.origins);
    }
    return ok;
}

/* Whatever was to be printed must have arrived: a full disk behind `> file` is an error. */
static int printed(void) {
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? 0 : 2;
}

bool config_start(const struct config_table *table, int argc, char **argv, void *values, int *exit_status) {
    enum config_action action;
    struct config_origins *origins = NULL;
    struct error error;
    if (!config_load(table, argc, (const char *const *)argv, (const char *const *)environ, values, &origins, &action,
                     &error)) {
        fprintf(stderr, "%s: %s\n%s: see --help for every key\n", table->program, error.message, table->program);
        *exit_status = 2;
        return false;
    }
    switch (action) {
    case CONFIG_RUN:
        free(origins);
        return true;
    case CONFIG_CHECK:
        config_print_yaml(table, values, origins, stdout);
        break;
    case CONFIG_HELP:
        config_print_help(table, stdout);
        break;
    case CONFIG_VERSION:
        printf("%s %s\n", table->program, WAYBILL_VERSION);
        break;
    case CONFIG_DOCS:
        config_print_docs(table, stdout);
        break;
    }
    free(origins);
    config_free(table, values);
    *exit_status = printed();
    return false;
}
