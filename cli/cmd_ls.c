/* waybill ls: records of a bucket, or the buckets. */
#include <string.h>

#include "cli/output.h"
#include "cli/paging.h"
#include "cli/record_lines.h"
#include "cli/values.h"

struct ls {
    struct listing listing;
    int is_long;
};

static void print_record(const struct ls *ls, const Waybill__V1__Record *record) {
    FILE *out = ls->listing.cli->streams.out;
    if (ls->is_long) {
        print_listed_record(out, record);
    } else {
        fprintf(out, "%s\n", record->key);
    }
}

static void print_prefix(const struct ls *ls, const char *prefix) {
    FILE *out = ls->listing.cli->streams.out;
    if (ls->is_long) {
        print_listed_prefix(out, prefix);
    } else {
        fprintf(out, "%s\n", prefix);
    }
}

/* Records and prefixes in one order, that of their names. */
static void print_entries(const struct ls *ls, const Waybill__V1__ListRecordsResponse *page) {
    size_t records = 0;
    size_t prefixes = 0;
    while (records < page->n_records || prefixes < page->n_common_prefixes) {
        bool is_record =
            prefixes == page->n_common_prefixes ||
            (records < page->n_records && strcmp(page->records[records]->key, page->common_prefixes[prefixes]) < 0);
        if (is_record) {
            print_record(ls, page->records[records++]);
        } else {
            print_prefix(ls, page->common_prefixes[prefixes++]);
        }
    }
}

static bool print_records(void *context, const Waybill__V1__ListRecordsResponse *page) {
    struct ls *ls = context;
    struct cli *cli = ls->listing.cli;
    if (cli->json) {
        output_message(cli, &page->base);
    } else {
        print_entries(ls, page);
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

static bool list(struct ls *ls, const struct waybill_list *what, struct error *error) {
    struct waybill_client *client = ls->listing.cli->client;
    return what->bucket != NULL ? waybill_list_records(client, what, print_records, ls, error)
                                : waybill_list_buckets(client, &what->paging, print_buckets, ls, error);
}

int cmd_ls(struct cli *cli, int argc, const char **argv) {
    struct ls ls = {.listing = {.cli = cli}};
    struct paging_options paging = {0};
    char *delimiter = NULL;
    char *filter = NULL;
    int deleted = 0;
    const struct poptOption options[] = {
        OPTION_FLAG("long", 'l', &ls.is_long, "with state, size, version and time"),
        OPTION_TEXT("filter", &filter, "EXPR", "only records of which this is true: state = STORED AND size > 1000"),
        OPTION_TEXT("delimiter", &delimiter, "TEXT", "keys that agree up to this after PREFIX are one entry: /"),
        OPTION_FLAG("deleted", 'd', &deleted, "tombstones as well"),
        PAGING_OPTIONS(&paging),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct target target = {0};
    struct waybill_list what = {0};
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) || !paging_take(cli, &paging, &what.paging)) {
        return cli->usage_status;
    }
    const char *subject = arguments.count > 0 ? arguments.items[0] : NULL;
    if (subject == NULL && (filter != NULL || delimiter != NULL || deleted)) {
        return cli_usage(cli, "--filter, --delimiter and --deleted are about records: name a BUCKET");
    }
    if ((subject != NULL && !value_target(cli, subject, &target)) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    what.bucket = target.bucket;
    what.prefix = target.key;
    what.delimiter = delimiter;
    what.filter = filter;
    what.show_deleted = deleted;
    struct error error;
    return list(&ls, &what, &error) ? listing_end(&ls.listing, &paging, subject) : output_error(cli, subject, &error);
}
