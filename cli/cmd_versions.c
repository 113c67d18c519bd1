/* waybill versions: the history of a record. */
#include "cli/output.h"
#include "cli/paging.h"
#include "cli/record_lines.h"
#include "cli/values.h"

static bool print_page(void *self, const Waybill__V1__ListRecordVersionsResponse *page) {
    struct listing *listing = self;
    struct cli *cli = listing->cli;
    if (cli->json) {
        output_message(cli, &page->base);
    }
    for (size_t i = 0; i < page->n_records && !cli->json; i++) {
        print_record_version(cli->streams.out, page->records[i]);
    }
    return listing_page_done(listing, page->next_page_token);
}

int cmd_versions(struct cli *cli, int argc, const char **argv) {
    struct paging_options given = {0};
    const struct poptOption options[] = {
        PAGING_OPTIONS(&given),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct target target;
    struct waybill_paging paging;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || !paging_take(cli, &given, &paging) ||
        !value_key(cli, arguments.items[0], &target) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    struct listing listing = {.cli = cli};
    struct error error;
    if (!waybill_list_versions(cli->client, target.bucket, target.key, &paging, print_page, &listing, &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    return listing_end(&listing, &given, arguments.items[0]);
}
