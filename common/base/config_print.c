/* The table, and the values in effect, for people: --check-config and the documentation. */
#include <stdlib.h>
#include <string.h>

#include "common/base/config_origin.h"
#include "common/base/config_value.h"

/* A YAML double-quoted text; control characters never get into a configuration. */
static void print_quoted(const char *text, FILE *out) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_origin(const struct config_entry *entry, const struct config_origin *origin, FILE *out) {
    char variable[CONFIG_NAME_BYTES + 8];
    char flag[CONFIG_NAME_BYTES];
    switch (origin->source) {
    case CONFIG_SOURCE_DEFAULT:
        fputs("  # default", out);
        break;
    case CONFIG_SOURCE_FILE:
        fprintf(out, "  # line %d of the file", origin->line);
        break;
    case CONFIG_SOURCE_ENVIRONMENT:
        config_variable_name(entry, variable);
        fprintf(out, "  # %s", variable);
        break;
    case CONFIG_SOURCE_FLAG:
        config_flag_name(entry, flag);
        fprintf(out, "  # --%s", flag);
        break;
    }
}

void config_print_yaml(const struct config_table *table, const void *values, const struct config_origins *origins,
                       FILE *out) {
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *entry = &table->entries[i];
        char scratch[CONFIG_TEXT_BYTES];
        const char *text = config_value_text(entry, values, scratch);
        fprintf(out, "%s: ", entry->name);
        if (entry->type == CONFIG_TYPE_STRING) {
            print_quoted(text, out);
        } else {
            fputs(text, out);
        }
        if (origins != NULL) {
            print_origin(entry, &origins->of[i], out);
        }
        fputc('\n', out);
    }
}

/* Text for a cell: a bar would end it, and <...> would be taken for HTML. */
static void print_cell(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        if (strchr("|<>*_", *text) != NULL) {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

void config_print_docs(const struct config_table *table, FILE *out) {
    fputs("| key | default | allowed | what it is for |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *entry = &table->entries[i];
        const char *initial = entry->derived != NULL ? entry->derived : entry->initial;
        char allowed[CONFIG_ALLOWED_BYTES];
        config_allowed_text(entry, allowed);
        fprintf(out, "| `%s` | ", entry->name);
        if (*initial == '\0') {
            fputs("(empty)", out);
        } else {
            fprintf(out, "`%s`", initial);
        }
        fputs(" | ", out);
        print_cell(allowed, out);
        fputs(" | ", out);
        print_cell(entry->help, out);
        fputs(" |\n", out);
    }
}
