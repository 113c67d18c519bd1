/* waybill undelete: deleted records, and older versions, come back. */
#include "cli/each_record.h"
#include "cli/output.h"
#include "cli/record_lines.h"

static bool undelete_one(struct cli *cli, const struct target *target, void *self, struct arena *arena,
                         struct error *error) {
    struct waybill_restore *what = self;
    Waybill__V1__RestoreRecordResponse response = WAYBILL__V1__RESTORE_RECORD_RESPONSE__INIT;
    what->bucket = target->bucket;
    what->key = target->key;
    if (!waybill_restore_record(cli->client, what, arena, &response.record, error)) {
        return false;
    }
    output_made_record(cli, &response.base, response.record);
    return true;
}

int cmd_undelete(struct cli *cli, int argc, const char **argv) {
    struct waybill_restore what = {0};
    char *version = NULL;
    char *if_version = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_TEXT("version", &version, "N", "what this version was [the newest before the delete]"),
        OPTION_IF_VERSION(&if_version, "only if the latest version is N; 0: only if the record is deleted"),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) ||
        !value_integer(cli, "version", version, 1, INT64_MAX, &what.version) ||
        !value_integer(cli, "if-version", if_version, 0, INT64_MAX, &what.if_version_match)) {
        return cli->usage_status;
    }
    if (arguments.count > 1 && version != NULL) {
        return cli_usage(cli, "--version is one record's: one record at a time");
    }
    what.has_if_version_match = if_version != NULL;
    what.request_id = request_id;
    what.reason = reason;
    return each_record(cli, &arguments, request_id, undelete_one, &what);
}
