#include "common/base/config_options.h"

#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/config_origin.h"

/* popt wants its table built beforehand, with texts that outlive its context. */
struct flag_text {
    char name[CONFIG_NAME_BYTES];
    char help[CONFIG_ALLOWED_BYTES + 512];
};

struct flag_table {
    struct poptOption *options;
    struct flag_text *texts;
};

enum { FIXED_OPTIONS = 5, FIRST_ENTRY = 1, OPTION_TASK = 9900, OPTION_CONFIG = 10000 };

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct config_origins *config_origins_new(size_t count) {
    struct config_origins *origins = allocate(1, sizeof *origins + count * sizeof origins->of[0]);
    origins->count = count;
    return origins;
}

static void describe(const struct config_entry *entry, struct flag_text *text) {
    config_flag_name(entry, text->name);
    char allowed[CONFIG_ALLOWED_BYTES];
    config_allowed_text(entry, allowed);
    const char *initial = entry->derived != NULL ? entry->derived : *entry->initial != '\0' ? entry->initial : "empty";
    snprintf(text->help, sizeof text->help, "%s (%s; default %s)", entry->help, allowed, initial);
}

static struct flag_table make_flags(const struct config_table *table) {
    struct flag_table flags = {
        .options = allocate(table->count + table->task_count + FIXED_OPTIONS + 1, sizeof *flags.options),
        .texts = allocate(table->count, sizeof *flags.texts),
    };
    struct poptOption *next = flags.options;
    *next++ = (struct poptOption){
        "config", 'c', POPT_ARG_STRING, NULL, OPTION_CONFIG, "YAML file to read (or WAYBILL_CONFIG)", "FILE"};
    for (size_t i = 0; i < table->count; i++) {
        describe(&table->entries[i], &flags.texts[i]);
        *next++ = (struct poptOption){flags.texts[i].name, '\0',   POPT_ARG_STRING, NULL, FIRST_ENTRY + (int)i,
                                      flags.texts[i].help, "VALUE"};
    }
    static const struct poptOption actions[] = {
        {"check-config", '\0', POPT_ARG_NONE, NULL, OPTION_CONFIG + CONFIG_CHECK,
         "Check all of it, print what is in effect as YAML, and exit (0 good, 2 not)", NULL},
        {"print-config-docs", '\0', POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, NULL, OPTION_CONFIG + CONFIG_DOCS,
         "Print the keys as a Markdown table, and exit", NULL},
        {"version", 'V', POPT_ARG_NONE, NULL, OPTION_CONFIG + CONFIG_VERSION, "Print the version, and exit", NULL},
        {"help", 'h', POPT_ARG_NONE, NULL, OPTION_CONFIG + CONFIG_HELP, "Print this, and exit", NULL},
    };
    for (size_t i = 0; i < table->task_count; i++) {
        const struct config_task *task = &table->tasks[i];
        *next++ = (struct poptOption){task->flag, '\0', POPT_ARG_NONE, NULL, OPTION_TASK + (int)i, task->help, NULL};
    }
    memcpy(next, actions, sizeof actions);
    return flags;
}

static void free_flags(struct flag_table *flags) {
    free(flags->options);
    free(flags->texts);
}

/* Levenshtein distance; both shorter than CONFIG_NAME_BYTES. */
static size_t distance(const char *a, const char *b) {
    size_t row[CONFIG_NAME_BYTES];
    size_t width = strlen(b);
    for (size_t j = 0; j <= width; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t change = diagonal + (a[i] != b[j]);
            size_t step = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = change < step ? change : step;
        }
    }
    return row[width];
}

void config_suggest(const struct config_table *table, const char *name, const char *prefix,
                    char text[CONFIG_NAME_BYTES + 32]) {
    *text = '\0';
    if (strlen(name) >= CONFIG_NAME_BYTES) {
        return;
    }
    size_t best = 4;
    for (size_t i = 0; i < table->count; i++) {
        size_t far = distance(name, table->entries[i].name);
        if (far < best) {
            best = far;
            snprintf(text, CONFIG_NAME_BYTES + 32, "; did you mean %s%s?", prefix, table->entries[i].name);
        }
    }
}

/* The same for "--kebab-case=whatever". */
static void suggest_flag(const struct config_table *table, const char *flag, char text[CONFIG_NAME_BYTES + 32]) {
    *text = '\0';
    char name[CONFIG_NAME_BYTES];
    size_t length = strncmp(flag, "--", 2) == 0 ? strcspn(flag + 2, "=") : 0;
    if (length == 0 || length >= sizeof name) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        name[i] = flag[2 + i] == '-' ? '_' : flag[2 + i];
    }
    name[length] = '\0';
    config_suggest(table, name, "--", text);
    for (char *next = text; *next != '\0'; next++) {
        *next = *next == '_' ? '-' : *next;
    }
}

static bool fail_option(poptContext context, const struct config_table *table, int problem, struct error *error) {
    const char *flag = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    char nearest[CONFIG_NAME_BYTES + 32] = "";
    if (problem == POPT_ERROR_BADOPT) {
        suggest_flag(table, flag, nearest);
    }
    const char *what = problem == POPT_ERROR_BADOPT  ? "unknown flag"
                       : problem == POPT_ERROR_NOARG ? "has no value behind it"
                                                     : poptStrerror(problem);
    return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_CONFIG", "%.64s: %s%s", flag, what, nearest);
}

static void take_option(const struct config_table *table, int option, char *text, struct config_options *options) {
    if (option == OPTION_CONFIG) {
        free(options->file);
        options->file = text;
    } else if (option >= OPTION_TASK && option < OPTION_CONFIG) {
        options->tasks[option - OPTION_TASK] = true;
    } else if (option > OPTION_CONFIG) {
        /* --help beside other things means help. */
        if (options->action != CONFIG_HELP) {
            options->action = (enum config_action)(option - OPTION_CONFIG);
        }
    } else {
        size_t entry = (size_t)(option - FIRST_ENTRY);
        options->given[options->count++] = (struct config_option){&table->entries[entry], text};
    }
}

static bool parse_all(poptContext context, const struct config_table *table, struct config_options *options,
                      struct error *error) {
    int option;
    while ((option = poptGetNextOpt(context)) > 0) {
        take_option(table, option, poptGetOptArg(context), options);
    }
    if (option < -1) {
        return fail_option(context, table, option, error);
    }
    if (poptPeekArg(context) != NULL) {
        return error_set(error, ERROR_INVALID_ARGUMENT, "BAD_CONFIG", "%.64s: not a flag; allowed: --flag value",
                         poptPeekArg(context));
    }
    return true;
}

bool config_options_parse(const struct config_table *table, int argc, const char *const *argv,
                          struct config_options *options, struct error *error) {
    /* Each flag takes at least one argument. */
    *options = (struct config_options){.action = CONFIG_RUN};
    options->given = allocate((size_t)argc + 1, sizeof *options->given);
    struct flag_table flags = make_flags(table);
    poptContext context = poptGetContext(table->program, argc, (const char **)argv, flags.options, 0);
    if (context == NULL) {
        abort(); /* only when memory is gone */
    }
    bool ok = parse_all(context, table, options, error);
    poptFreeContext(context);
    free_flags(&flags);
    if (!ok) {
        config_options_free(options);
    }
    return ok;
}

void config_options_free(struct config_options *options) {
    for (size_t i = 0; i < options->count; i++) {
        free(options->given[i].text);
    }
    free(options->given);
    free(options->file);
    *options = (struct config_options){0};
}

void config_print_help(const struct config_table *table, FILE *out) {
    struct flag_table flags = make_flags(table);
    const char *argv[] = {table->program, NULL};
    poptContext context = poptGetContext(table->program, 1, argv, flags.options, 0);
    if (context == NULL) {
        abort(); /* only when memory is gone */
    }
    poptPrintHelp(context, out, 0);
    poptFreeContext(context);
    free_flags(&flags);
    fprintf(
        out,
        "\n%s\n\nEvery flag that takes a value, but --config, is also a key of the YAML file (--data-dir: data_dir)\n"
        "and an environment variable (WAYBILL_DATA_DIR). Flags win over the environment, which wins over\n"
        "the file. Exit codes: 0 done, 1 failed while running, 2 bad configuration.\n",
        table->summary);
}
