/* waybill bucket create, list, get. */
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"

static void print_policy(struct cli *cli, const Waybill__V1__Bucket *bucket) {
    FILE *out = cli->streams.out;
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "name           %s\n", bucket->name);
    fprintf(out, "version        %lld\n", (long long)bucket->version);
    fprintf(out, "created        %s\n", output_time(bucket->create_time, text));
    const Waybill__V1__StoragePolicy *storage = bucket->storage;
    if (storage != NULL) {
        fprintf(out, "storage class  %s\n",
                output_enum(&waybill__v1__storage_class__descriptor, (int)storage->storage_class, text));
        if (storage->cold_after != NULL) {
            fprintf(out, "cold after     %.3f s\n",
                    (double)storage->cold_after->seconds + storage->cold_after->nanos / 1e9);
        }
        if (storage->max_versions > 0) {
            fprintf(out, "max versions   %d\n", (int)storage->max_versions);
        }
    }
    if (bucket->has_inline_max_bytes_case != 0) {
        fprintf(out, "inline up to   %s\n", output_bytes(bucket->inline_max_bytes, text));
    }
}

struct create_options {
    char *storage_class, *cold_after, *expire_after, *delete_retention, *payload_deadline, *inline_max;
    char *max_versions, *promote_after_reads, *request_id, *reason;
};

static bool take_options(struct cli *cli, const struct create_options *given, struct waybill_bucket *bucket) {
    int storage_class = 0;
    int64_t max_versions = 0;
    int64_t promote = 0;
    bool good = value_enum(cli, "storage-class", &waybill__v1__storage_class__descriptor, given->storage_class,
                           &storage_class) &&
                value_duration(cli, "cold-after", given->cold_after, &bucket->cold_after_ms) &&
                value_duration(cli, "expire-after", given->expire_after, &bucket->expire_after_ms) &&
                value_duration(cli, "delete-retention", given->delete_retention, &bucket->delete_retention_ms) &&
                value_duration(cli, "payload-deadline", given->payload_deadline, &bucket->payload_deadline_ms) &&
                value_size(cli, "inline-max", given->inline_max, &bucket->inline_max_bytes) &&
                value_integer(cli, "max-versions", given->max_versions, 0, INT32_MAX, &max_versions) &&
                value_integer(cli, "promote-after-reads", given->promote_after_reads, 0, INT32_MAX, &promote);
    bucket->storage_class = (Waybill__V1__StorageClass)storage_class;
    bucket->max_versions = (int32_t)max_versions;
    bucket->promote_after_reads = (int32_t)promote;
    bucket->request_id = given->request_id;
    bucket->reason = given->reason;
    return good;
}

int cmd_bucket_create(struct cli *cli, int argc, const char **argv) {
    struct create_options given = {0};
    const struct poptOption options[] = {
        OPTION_TEXT("storage-class", &given.storage_class, "CLASS", "hot, hot-and-cold or cold [hot-and-cold]"),
        OPTION_TEXT("cold-after", &given.cold_after, "DURATION", "age at which objects go to the cold store [24h]"),
        OPTION_TEXT("expire-after", &given.expire_after, "DURATION", "age at which records expire [never]"),
        OPTION_TEXT("delete-retention", &given.delete_retention, "DURATION", "how long tombstones are kept [168h]"),
        OPTION_TEXT("payload-deadline", &given.payload_deadline, "DURATION",
                    "time a payload has to become STORED [24h]"),
        OPTION_TEXT("inline-max", &given.inline_max, "SIZE", "largest payload inside PutRecord [64KiB]"),
        OPTION_TEXT("max-versions", &given.max_versions, "N", "versions kept per key [all]"),
        OPTION_TEXT("promote-after-reads", &given.promote_after_reads, "N",
                    "reads after which a cold object is promoted [never]"),
        OPTION_TEXT("request-id", &given.request_id, "UUID", "names the request, so that it takes effect once"),
        OPTION_TEXT("reason", &given.reason, "TEXT", "why, published with the change"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_bucket bucket = WAYBILL_BUCKET_INIT;
    struct target target;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || !take_options(cli, &given, &bucket) ||
        !value_target(cli, arguments.items[0], &target) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    Waybill__V1__Bucket *made;
    struct error error;
    bucket.name = arguments.items[0];
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

int cmd_bucket_get(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    Waybill__V1__Bucket *bucket;
    struct error error;
    if (!waybill_get_bucket(cli->client, arguments.items[0], &cli->arena, &bucket, &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    if (cli->json) {
        output_message(cli, &bucket->base);
    } else {
        print_policy(cli, bucket);
    }
    return CLI_OK;
}

static bool print_page(void *context, const Waybill__V1__ListBucketsResponse *page) {
    struct cli *cli = context;
    if (cli->json) {
        output_message(cli, &page->base);
    }
    for (size_t i = 0; i < page->n_buckets && !cli->json; i++) {
        fprintf(cli->streams.out, "%s\n", page->buckets[i]->name);
    }
    struct error ignored;
    return output_flush(cli, &ignored);
}

int cmd_bucket_list(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 0, 0, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    struct error error;
    if (!waybill_list_buckets(cli->client, NULL, print_page, cli, &error)) {
        return output_error(cli, NULL, &error);
    }
    return CLI_OK;
}
