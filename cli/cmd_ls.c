/* waybill ls: records of a bucket, or the buckets. */
#include <inttypes.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"

enum { PAGE_SIZE = 1000 };

struct listing {
    struct cli *cli;
    int is_long, all;
    bool more; /* it ended before the last page */
    struct error error;
    bool failed;
};

/* Looks whether to go on after a page. */
static bool page_done(struct listing *listing, const char *next_page_token) {
    listing->failed = !output_flush(listing->cli, &listing->error);
    listing->more = next_page_token[0] != '\0' && !listing->all;
    return listing->all && !listing->failed;
}

static void print_record(FILE *out, const Waybill__V1__Record *record) {
    char state[OUTPUT_TEXT_BYTES];
    char time[OUTPUT_TEXT_BYTES];
    char size[OUTPUT_TEXT_BYTES] = "-";
    if (record->has_size_case != 0) {
        snprintf(size, sizeof size, "%" PRId64, record->size);
    }
    fprintf(out, "%-16s %14s %8" PRId64 "  %-24s  %s\n",
            output_enum(&waybill__v1__record_state__descriptor, (int)record->state, state), size, record->version,
            output_time(record->update_time, time), record->key);
}

static bool print_records(void *context, const Waybill__V1__ListRecordsResponse *page) {
    struct listing *listing = context;
    struct cli *cli = listing->cli;
    if (cli->json) {
        output_message(cli, &page->base);
        return page_done(listing, page->next_page_token);
    }
    for (size_t i = 0; i < page->n_records; i++) {
        if (listing->is_long) {
            print_record(cli->streams.out, page->records[i]);
        } else {
            fprintf(cli->streams.out, "%s\n", page->records[i]->key);
        }
    }
    return page_done(listing, page->next_page_token);
}

static bool print_buckets(void *context, const Waybill__V1__ListBucketsResponse *page) {
    struct listing *listing = context;
    struct cli *cli = listing->cli;
    if (cli->json) {
        output_message(cli, &page->base);
        return page_done(listing, page->next_page_token);
    }
    for (size_t i = 0; i < page->n_buckets; i++) {
        const Waybill__V1__Bucket *bucket = page->buckets[i];
        char storage[OUTPUT_TEXT_BYTES] = "-";
        char time[OUTPUT_TEXT_BYTES];
        if (listing->is_long && bucket->storage != NULL) {
            output_enum(&waybill__v1__storage_class__descriptor, (int)bucket->storage->storage_class, storage);
        }
        if (listing->is_long) {
            fprintf(cli->streams.out, "%-14s %-24s  %s\n", storage, output_time(bucket->create_time, time),
                    bucket->name);
        } else {
            fprintf(cli->streams.out, "%s\n", bucket->name);
        }
    }
    return page_done(listing, page->next_page_token);
}

static bool list(struct listing *listing, const char *what, int deleted, int32_t page_size) {
    struct cli *cli = listing->cli;
    if (what == NULL) {
        return waybill_list_buckets(cli->client, page_size, print_buckets, listing, &listing->error);
    }
    struct target target;
    if (!value_target(cli, what, &target)) {
        return false;
    }
    struct waybill_list records = {
        .bucket = target.bucket, .prefix = target.key, .page_size = page_size, .show_deleted = deleted};
    return waybill_list_records(cli->client, &records, print_records, listing, &listing->error);
}

int cmd_ls(struct cli *cli, int argc, const char **argv) {
    struct listing listing = {.cli = cli};
    int deleted = 0;
    char *page_size_text = NULL;
    int64_t page_size = PAGE_SIZE;
    const struct poptOption options[] = {
        OPTION_FLAG("long", 'l', &listing.is_long, "with state, size, version and time"),
        OPTION_FLAG("all", 'a', &listing.all, "all pages, not just the first"),
        OPTION_FLAG("deleted", 'd', &deleted, "tombstones as well"),
        OPTION_TEXT("page-size", &page_size_text, "N", "entries per page, 1 to 1000 [1000]"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) ||
        !value_integer(cli, "page-size", page_size_text, 1, PAGE_SIZE, &page_size) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    const char *what = arguments.count > 0 ? arguments.items[0] : NULL;
    if (!list(&listing, what, deleted, (int32_t)page_size)) {
        return cli->usage_status != 0 ? cli->usage_status : output_error(cli, what, &listing.error);
    }
    if (listing.failed) {
        return output_error(cli, what, &listing.error);
    }
    if (listing.more && !cli->quiet && !cli->json) {
        fprintf(cli->streams.err, "waybill: ls: there is more: --all lists all of it\n");
    }
    return CLI_OK;
}
