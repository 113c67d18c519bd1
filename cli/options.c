#include "cli/options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/client/proto_json.h"

static void fill_globals(struct cli *cli, struct poptOption globals[9]) {
    struct poptOption table[9] = {
        OPTION_TEXT("metadata", &cli->metadata, "HOST:PORT",
                    "metadata-svc [WAYBILL_METADATA, " WAYBILL_DEFAULT_METADATA "]"),
        OPTION_TEXT("bulk", &cli->bulk, "HOST:PORT",
                    "metadata-svc's bulk port [WAYBILL_BULK, " WAYBILL_DEFAULT_BULK "]"),
        OPTION_TEXT("object", &cli->object, "HOST:PORT", "object-svc [WAYBILL_OBJECT, " WAYBILL_DEFAULT_OBJECT "]"),
        OPTION_TEXT("timeout", &cli->timeout, "DURATION", "how long a call may take [30s]"),
        OPTION_FLAG("json", '\0', &cli->json, "print JSON, one document a line"),
        OPTION_FLAG("quiet", 'q', &cli->quiet, "print no progress and no confirmation"),
        OPTION_FLAG("help", 'h', &cli->help, "print this help"),
        POPT_TABLEEND,
    };
    memcpy(globals, table, sizeof table);
}

/* popt's strings are on the heap: moves them to the arena. */
static void take_strings(struct cli *cli, const struct poptOption *options) {
    for (; options->longName != NULL || options->argInfo != 0; options++) {
        unsigned kind = options->argInfo & POPT_ARG_MASK;
        if (kind == POPT_ARG_STRING) {
            char **slot = options->arg;
            char *text = *slot;
            if (text != NULL) {
                *slot = arena_strdup(&cli->arena, text);
                free(text);
            }
        } else if (kind == POPT_ARG_ARGV && *(char ***)options->arg != NULL) {
            char **list = *(char ***)options->arg;
            size_t count = option_list_count(list);
            char **copy = arena_zalloc(&cli->arena, (count + 1) * sizeof *copy);
            for (size_t i = 0; i < count; i++) {
                copy[i] = arena_strdup(&cli->arena, list[i]);
                free(list[i]);
            }
            free(list);
            *(char ***)options->arg = copy;
        }
    }
}

static void take_rest(struct cli *cli, poptContext context, struct arguments *arguments) {
    const char **rest = poptGetArgs(context);
    size_t count = 0;
    while (rest != NULL && rest[count] != NULL) {
        count++;
    }
    arguments->count = count;
    arguments->items = arena_zalloc(&cli->arena, (count + 1) * sizeof *arguments->items);
    for (size_t i = 0; i < count; i++) {
        arguments->items[i] = arena_strdup(&cli->arena, rest[i]);
    }
}

int cli_usage(struct cli *cli, const char *format, ...) {
    char text[ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *command = cli->command != NULL ? cli->command->name : "";
    if (cli->json) {
        json_t *message = proto_json_text(text);
        json_t *whole =
            json_pack("{s:{s:s,s:s,s:o}}", "error", "code", "USAGE", "command", command, "message", message);
        json_dumpf(whole, cli->streams.err, JSON_COMPACT);
        fputc('\n', cli->streams.err);
        json_decref(whole);
    } else {
        fprintf(cli->streams.err, "waybill: %s%s%s\nhint: waybill help%s%s\n", command, command[0] ? ": " : "", text,
                command[0] ? " " : "", command);
    }
    cli->usage_status = CLI_USAGE;
    return CLI_USAGE;
}

static void print_help(struct cli *cli, poptContext context) {
    poptSetOtherOptionHelp(context, arena_printf(&cli->arena, "[OPTION...] %s", cli->command->arguments));
    fprintf(cli->streams.out, "waybill %s: %s\n\n", cli->command->name, cli->command->summary);
    poptPrintHelp(context, cli->streams.out, 0);
    if (cli->command->details[0] != '\0') {
        fprintf(cli->streams.out, "\n%s\n", cli->command->details);
    }
}

static bool run_popt(struct cli *cli, poptContext context) {
    int result = poptGetNextOpt(context);
    if (result >= -1) {
        return true;
    }
    cli_usage(cli, "%s: %s", poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(result));
    return false;
}

static bool check_count(struct cli *cli, size_t count, size_t least, size_t most) {
    if (count < least) {
        cli_usage(cli, "too few arguments: %s", cli->command->arguments);
        return false;
    }
    if (count > most) {
        cli_usage(cli, "too many arguments: %s", cli->command->arguments);
        return false;
    }
    return true;
}

bool cli_parse(struct cli *cli, const struct poptOption *options, int argc, const char **argv, size_t least,
               size_t most, struct arguments *arguments) {
    struct cli before = *cli;
    struct poptOption globals[9];
    /* What was given before the command's name stays unless given again. */
    cli->metadata = cli->bulk = cli->object = cli->timeout = NULL;
    fill_globals(cli, globals);
    struct poptOption all[] = {
        {NULL, '\0', POPT_ARG_INCLUDE_TABLE, (void *)options, 0, "Options:", NULL},
        {NULL, '\0', POPT_ARG_INCLUDE_TABLE, globals, 0, "Options of every command:", NULL},
        POPT_TABLEEND,
    };
    poptContext context = poptGetContext(NULL, argc, argv, options->longName != NULL ? all : all + 1, 0);
    bool good = run_popt(cli, context);
    take_strings(cli, options);
    take_strings(cli, globals);
    cli->metadata = cli->metadata != NULL ? cli->metadata : before.metadata;
    cli->bulk = cli->bulk != NULL ? cli->bulk : before.bulk;
    cli->object = cli->object != NULL ? cli->object : before.object;
    cli->timeout = cli->timeout != NULL ? cli->timeout : before.timeout;
    if (good && cli->help) {
        print_help(cli, context);
        cli->usage_status = CLI_OK;
        good = false;
    } else if (good) {
        take_rest(cli, context, arguments);
        good = check_count(cli, arguments->count, least, most);
    }
    poptFreeContext(context);
    return good;
}

bool cli_parse_before(struct cli *cli, int argc, const char **argv, struct arguments *rest) {
    struct poptOption globals[9];
    fill_globals(cli, globals);
    poptContext context = poptGetContext(NULL, argc, argv, globals, POPT_CONTEXT_POSIXMEHARDER);
    bool good = run_popt(cli, context);
    take_strings(cli, globals);
    if (good) {
        take_rest(cli, context, rest);
    }
    poptFreeContext(context);
    return good;
}
