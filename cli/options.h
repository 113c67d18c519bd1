/* Command lines, read by popt. */
#ifndef WAYBILL_CLI_OPTIONS_H
#define WAYBILL_CLI_OPTIONS_H

#include <popt.h>
#include <stddef.h>

#include "cli/cli.h"

/* Options of a command are a table of these, ended by POPT_TABLEEND. Strings land in the
 * cli's arena; lists (repeatable options) are NULL-terminated there. */
#define OPTION_FLAG(long_, short_, member_, help_)                                                                     \
    { (long_), (short_), POPT_ARG_NONE, (member_), 0, (help_), NULL }
#define OPTION_TEXT(long_, member_, argument_, help_)                                                                  \
    { (long_), '\0', POPT_ARG_STRING, (member_), 0, (help_), (argument_) }
#define OPTION_LIST(long_, member_, argument_, help_)                                                                  \
    { (long_), '\0', POPT_ARG_ARGV, (member_), 0, (help_), (argument_) }

/* Options that writes have in common. */
#define OPTION_IF_VERSION(member_, help_) OPTION_TEXT("if-version", (member_), "N", help_)
#define OPTION_REQUEST_ID(member_)                                                                                     \
    OPTION_TEXT("request-id", (member_), "UUID", "names the request, so that it takes effect once")
#define OPTION_REASON(member_) OPTION_TEXT("reason", (member_), "TEXT", "why, published with the change")

struct arguments {
    const char **items; /* in the cli's arena */
    size_t count;
};

/* Reads the options of the current command and those of every command. False when there is
 * nothing to do but return cli->usage_status: help was asked for and printed, or the usage is
 * wrong, also by the number of arguments, and that was told. */
bool cli_parse(struct cli *cli, const struct poptOption *options, int argc, const char **argv, size_t least,
               size_t most, struct arguments *arguments);
/* Reads the options before the command's name; `rest` is the name and what follows. */
bool cli_parse_before(struct cli *cli, int argc, const char **argv, struct arguments *rest);

/* How many values a repeatable option was given. */
static inline size_t option_list_count(char *const *values) {
    size_t count = 0;
    while (values != NULL && values[count] != NULL) {
        count++;
    }
    return count;
}

/* Tells what is wrong and how to get help; returns CLI_USAGE. */
int cli_usage(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
