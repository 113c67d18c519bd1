#include "cli/paging.h"

#include "cli/output.h"
#include "cli/values.h"

bool paging_take(struct cli *cli, const struct paging_options *given, struct waybill_paging *paging) {
    int64_t page_size = PAGING_MOST;
    if (given->all && given->limit != NULL) {
        cli_usage(cli, "--all and --limit exclude each other");
        return false;
    }
    paging->limit = given->all ? 0 : PAGING_MOST;
    paging->page_token = given->page_token;
    bool good = value_integer(cli, "limit", given->limit, 1, INT64_MAX, &paging->limit) &&
                value_integer(cli, "page-size", given->page_size, 1, PAGING_MOST, &page_size);
    paging->page_size = (int32_t)page_size;
    return good;
}

bool listing_page_done(struct listing *listing, const char *next_page_token) {
    listing->failed = !output_flush(listing->cli, &listing->error);
    listing->more = next_page_token[0] != '\0';
    return !listing->failed;
}

int listing_end(struct listing *listing, const struct paging_options *given, const char *subject) {
    struct cli *cli = listing->cli;
    if (listing->failed) {
        return output_error(cli, subject, &listing->error);
    }
    if (listing->more && given->limit == NULL && !cli->quiet && !cli->json) {
        fprintf(cli->streams.err, "waybill: %s: there is more: --all lists all of it\n", cli->command->name);
    }
    return CLI_OK;
}
