/* waybill ls: records of a bucket, or the buckets. */
#include "cli/output.h"
#include "cli/paging.h"
#include "cli/record_lines.h"
#include "cli/values.h"

struct ls {
    struct listing listing;
    int is_long;
};

static bool print_records(void *context, const Waybill__V1__ListRecordsResponse *page) {
    struct ls *ls = context;
    struct cli *cli = ls->listing.cli;
    if (cli->json) {
        output_message(cli, &page->base);
        return listing_page_done(&ls->listing, page->next_page_token);
    }
    for (size_t i = 0; i < page->n_records; i++) {
        if (ls->is_long) {
            print_listed_record(cli->streams.out, page->records[i]);
        } else {
            fprintf(cli->streams.out, "%s\n", page->records[i]->key);
        }
    }
    return listing_page_done(&ls->listing, page->next_page_token);
}

static bool print_buckets(void *context, const Waybill__V1__ListBucketsResponse *page) {
    struct ls *ls = context;
    struct cli *cli = ls->listing.cli;
    if (cli->json) {
        output_message(cli, &page->base);
        return listing_page_done(&ls->listing, page->next_page_token);
    }
    for (size_t i = 0; i < page->n_buckets; i++) {
        const Waybill__V1__Bucket *bucket = page->buckets[i];
        char storage[OUTPUT_TEXT_BYTES] = "-";
        char time[OUTPUT_TEXT_BYTES];
        if (ls->is_long && bucket->storage != NULL) {
            output_enum(&waybill__v1__storage_class__descriptor, (int)bucket->storage->storage_class, storage);
        }
        if (ls->is_long) {
            fprintf(cli->streams.out, "%-14s %-24s  %s\n", storage, output_time(bucket->create_time, time),
                    bucket->name);
        } else {
            fprintf(cli->streams.out, "%s\n", bucket->name);
        }
    }
    return listing_page_done(&ls->listing, page->next_page_token);
}

int cmd_ls(struct cli *cli, int argc, const char **argv) {
    struct ls ls = {.listing = {.cli = cli}};
    struct paging_options paging = {0};
    int deleted = 0;
    const struct poptOption options[] = {
        OPTION_FLAG("long", 'l', &ls.is_long, "with state, size, version and time"),
        OPTION_FLAG("deleted", 'd', &deleted, "tombstones as well"),
        PAGING_OPTIONS(&paging),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct target target;
    struct waybill_list list = {0};
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) || !paging_take(cli, &paging, &list.paging)) {
        return cli->usage_status;
    }
    const char *what = arguments.count > 0 ? arguments.items[0] : NULL;
    if ((what != NULL && !value_target(cli, what, &target)) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    bool ok;
    struct error error;
    if (what == NULL) {
        ok = waybill_list_buckets(cli->client, &list.paging, print_buckets, &ls, &error);
    } else {
        list.bucket = target.bucket;
        list.prefix = target.key;
        list.show_deleted = deleted;
        ok = waybill_list_records(cli->client, &list, print_records, &ls, &error);
    }
    return ok ? listing_end(&ls.listing, &paging, what) : output_error(cli, what, &error);
}
