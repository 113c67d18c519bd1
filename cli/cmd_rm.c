/* waybill rm: tombstones. */
#include "cli/each_record.h"
#include "cli/output.h"

static bool remove_one(struct cli *cli, const struct target *target, void *self, struct arena *arena,
                       struct error *error) {
    struct waybill_delete *what = self;
    Waybill__V1__DeleteRecordResponse response = WAYBILL__V1__DELETE_RECORD_RESPONSE__INIT;
    what->bucket = target->bucket;
    what->key = target->key;
    if (!waybill_delete(cli->client, what, arena, &response.record, error)) {
        return false;
    }
    if (cli->json) {
        output_message(cli, &response.base);
    } else if (!cli->quiet) {
        fprintf(cli->streams.out, "deleted %s/%s  version %lld\n", response.record->bucket, response.record->key,
                (long long)response.record->version);
    }
    return true;
}

int cmd_rm(struct cli *cli, int argc, const char **argv) {
    struct waybill_delete what = {0};
    char *if_version = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_IF_VERSION(&if_version, "only if the latest version is N"),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) ||
        !value_integer(cli, "if-version", if_version, 0, INT64_MAX, &what.if_version_match)) {
        return cli->usage_status;
    }
    what.has_if_version_match = if_version != NULL;
    what.request_id = request_id;
    what.reason = reason;
    return each_record(cli, &arguments, request_id, remove_one, &what);
}
