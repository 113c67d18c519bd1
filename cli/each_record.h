/* Commands that do one thing to each of several records. */
#ifndef WAYBILL_CLI_EACH_RECORD_H
#define WAYBILL_CLI_EACH_RECORD_H

#include "cli/options.h"
#include "cli/values.h"

/* What to do to one; the arena is freed after it. */
typedef bool each_record_action(struct cli *cli, const struct target *target, void *self, struct arena *arena,
                                struct error *error);

/* Checks all arguments, each a whole BUCKET/KEY, and then does it to one after the other, also
 * after a failure. `request_id` may be NULL; otherwise there must be one record only. Returns
 * the exit status. */
int each_record(struct cli *cli, const struct arguments *arguments, const char *request_id, each_record_action *act,
                void *self);

#endif
