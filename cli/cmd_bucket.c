/* waybill bucket create, update, delete. */
#include "cli/bucket_policy.h"
#include "cli/output.h"
#include "cli/values.h"

#define TELL_DEFAULT(default_) " [" default_ "]"

int cmd_bucket_create(struct cli *cli, int argc, const char **argv) {
    struct bucket_policy_options policy = {0};
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        BUCKET_POLICY_OPTIONS(&policy, TELL_DEFAULT),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_bucket bucket = WAYBILL_BUCKET_INIT;
    unsigned fields;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || !bucket_policy_take(cli, &policy, &bucket, &fields) ||
        !value_bucket(cli, arguments.items[0]) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    Waybill__V1__Bucket *made;
    struct error error;
    bucket.name = arguments.items[0];
    bucket.request_id = request_id;
    bucket.reason = reason;
    if (!waybill_create_bucket(cli->client, &bucket, &cli->arena, &made, &error)) {
        return output_error(cli, bucket.name, &error);
    }
    if (cli->json) {
        output_message(cli, &made->base);
    } else if (!cli->quiet) {
        fprintf(cli->streams.out, "created bucket %s\n", made->name);
    }
    return CLI_OK;
}

#define TELL_NOTHING(default_) ""

int cmd_bucket_update(struct cli *cli, int argc, const char **argv) {
    struct bucket_policy_options policy = {0};
    char *if_version = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        BUCKET_POLICY_OPTIONS(&policy, TELL_NOTHING),
        OPTION_IF_VERSION(&if_version, "only if the bucket's version is N"),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_bucket_update update = {.bucket = WAYBILL_BUCKET_INIT};
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) ||
        !bucket_policy_take(cli, &policy, &update.bucket, &update.fields) ||
        !value_integer(cli, "if-version", if_version, 1, INT64_MAX, &update.if_version_match)) {
        return cli->usage_status;
    }
    if (update.fields == 0) {
        return cli_usage(cli, "nothing is to be updated: give an option of the policy");
    }
    if (!value_bucket(cli, arguments.items[0]) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    Waybill__V1__Bucket *updated;
    struct error error;
    update.bucket.name = arguments.items[0];
    update.bucket.request_id = request_id;
    update.bucket.reason = reason;
    update.has_if_version_match = if_version != NULL;
    if (!waybill_update_bucket(cli->client, &update, &cli->arena, &updated, &error)) {
        return output_error(cli, update.bucket.name, &error);
    }
    if (cli->json) {
        output_message(cli, &updated->base);
    } else if (!cli->quiet) {
        fprintf(cli->streams.out, "updated bucket %s  version %lld\n", updated->name, (long long)updated->version);
    }
    return CLI_OK;
}

int cmd_bucket_delete(struct cli *cli, int argc, const char **argv) {
    char *if_version = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_IF_VERSION(&if_version, "only if the bucket's version is N"),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_bucket_delete what = {0};
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) ||
        !value_integer(cli, "if-version", if_version, 1, INT64_MAX, &what.if_version_match) ||
        !value_bucket(cli, arguments.items[0]) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    struct error error;
    what.name = arguments.items[0];
    what.has_if_version_match = if_version != NULL;
    what.request_id = request_id;
    what.reason = reason;
    if (!waybill_delete_bucket(cli->client, &what, &error)) {
        return output_error(cli, what.name, &error);
    }
    if (cli->json) {
        Waybill__V1__DeleteBucketResponse response = WAYBILL__V1__DELETE_BUCKET_RESPONSE__INIT;
        output_message(cli, &response.base);
    } else if (!cli->quiet) {
        fprintf(cli->streams.out, "deleted bucket %s\n", what.name);
    }
    return CLI_OK;
}
