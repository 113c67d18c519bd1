/* waybill bucket get, list. */
#include "cli/bucket_policy.h"
#include "cli/output.h"
#include "cli/values.h"

int cmd_bucket_get(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || !value_bucket(cli, arguments.items[0]) ||
        cli_client(cli) == NULL) {
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
        bucket_policy_print(cli->streams.out, bucket);
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
