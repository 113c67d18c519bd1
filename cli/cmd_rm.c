/* waybill rm: tombstones. */
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"

static bool remove_one(struct cli *cli, const struct waybill_delete *what, struct error *error) {
    struct arena arena;
    arena_init(&arena);
    Waybill__V1__Record *record;
    bool ok = waybill_delete(cli->client, what, &arena, &record, error);
    if (ok && cli->json) {
        Waybill__V1__DeleteRecordResponse response = WAYBILL__V1__DELETE_RECORD_RESPONSE__INIT;
        response.record = record;
        output_message(cli, &response.base);
    } else if (ok && !cli->quiet) {
        fprintf(cli->streams.out, "deleted %s/%s  version %lld\n", record->bucket, record->key,
                (long long)record->version);
    }
    arena_free(&arena);
    return ok && output_flush(cli, error);
}

int cmd_rm(struct cli *cli, int argc, const char **argv) {
    struct waybill_delete what = {0};
    char *if_version = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_TEXT("if-version", &if_version, "N", "only if the latest version is N"),
        OPTION_TEXT("request-id", &request_id, "UUID", "names the request, so that it takes effect once"),
        OPTION_TEXT("reason", &reason, "TEXT", "why, published with the change"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) ||
        !value_integer(cli, "if-version", if_version, 0, INT64_MAX, &what.if_version_match)) {
        return cli->usage_status;
    }
    if (arguments.count > 1 && request_id != NULL) {
        return cli_usage(cli, "--request-id names one request: delete one record at a time");
    }
    struct target *targets = arena_zalloc(&cli->arena, arguments.count * sizeof *targets);
    for (size_t i = 0; i < arguments.count; i++) {
        if (!value_key(cli, arguments.items[i], &targets[i])) {
            return cli->usage_status;
        }
    }
    if (cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    what.has_if_version_match = if_version != NULL;
    what.request_id = request_id;
    what.reason = reason;
    int status = CLI_OK;
    for (size_t i = 0; i < arguments.count && !ferror(cli->streams.out); i++) {
        struct error error;
        what.bucket = targets[i].bucket;
        what.key = targets[i].key;
        if (!remove_one(cli, &what, &error)) {
            int failed = output_error(cli, arguments.items[i], &error);
            status = status == CLI_OK ? failed : status;
        }
    }
    return status;
}
