/* Times on the command line. */
#ifndef WAYBILL_CLI_TIMES_H
#define WAYBILL_CLI_TIMES_H

#include "cli/options.h"

/* RFC 3339: "2026-01-02T03:04:05.25+01:00". */
bool time_parse(const char *text, struct waybill_time *time);

/* When a record expires, as put and update take it. */
struct expiry_options {
    char *time, *after;
};
#define EXPIRY_OPTIONS(given_, time_help_)                                                                             \
    OPTION_TEXT("expire-time", &(given_)->time, "TIME", time_help_),                                                   \
        OPTION_TEXT("expire-after", &(given_)->after, "DURATION", "the same, counted from now")

/* `expires` is in the cli's arena, NULL where nothing was given, and 0 for "never", which only
 * `takes_never` allows. `request_id` may be NULL; a usage error is told. */
bool value_expiry(struct cli *cli, const struct expiry_options *given, bool takes_never, const char *request_id,
                  const struct waybill_time **expires);

#endif
