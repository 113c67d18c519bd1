/* waybill failed: payloads that were given up, and what to do about them. metadata-svc has those that
 * records tell of, object-svc the dead letters, of events that no record tells of. */
#include <inttypes.h>

#include "cli/output.h"
#include "cli/paging.h"
#include "cli/record_lines.h"
#include "cli/values.h"
#include "common/base/uuid.h"

/* ---- list, show ---- */

static void print_line(FILE *out, const Waybill__V1__FailedPayload *payload) {
    const Waybill__V1__Record *record = payload->record;
    char time[OUTPUT_TEXT_BYTES];
    char size[OUTPUT_TEXT_BYTES] = "-";
    if (record->has_size_case != 0) {
        snprintf(size, sizeof size, "%" PRId64, record->size);
    }
    const Waybill__V1__DeadLetter *letter = payload->dead_letter;
    fprintf(out, "%-36s  %-24s  %-24s %8d %14s  %-9s %8" PRId64 "  ", letter != NULL ? letter->id : record->payload_id,
            output_time(payload->fail_time, time), payload->error_reason, (int)payload->attempts, size,
            letter != NULL       ? "letter"
            : payload->retryable ? "retryable"
                                 : "-",
            record->version);
    if (record->key[0] != '\0') {
        fprintf(out, "%s/%s", record->bucket, record->key);
    } else if (letter != NULL) {
        fprintf(out, "event %" PRId64 " of %s", letter->event_sequence, letter->event_subject);
    }
    fprintf(out, letter != NULL ? " at %s\n" : "\n", letter != NULL ? letter->replica : "");
}

static bool print_page(void *self, const Waybill__V1__ListFailedPayloadsResponse *page) {
    struct listing *listing = self;
    struct cli *cli = listing->cli;
    if (cli->json) {
        output_message(cli, &page->base);
    }
    for (size_t i = 0; i < page->n_payloads && !cli->json; i++) {
        print_line(cli->streams.out, page->payloads[i]);
    }
    return listing_page_done(listing, page->next_page_token);
}

typedef bool list_call(struct waybill_client *client, const char *bucket, const struct waybill_paging *paging,
                       waybill_failed_page *visit, void *context, struct error *error);

static int list_part(struct cli *cli, list_call *call, const char *bucket, const struct paging_options *given,
                     const struct waybill_paging *paging) {
    struct listing listing = {.cli = cli};
    struct error error;
    return call(cli->client, bucket, paging, print_page, &listing, &error) ? listing_end(&listing, given, bucket)
                                                                           : output_error(cli, bucket, &error);
}

/* The letters' tokens are ids, metadata-svc's are none. */
static bool is_letter_token(const char *token) {
    struct uuid id;
    return token != NULL && uuid_parse_text(token, &id);
}

int cmd_failed_list(struct cli *cli, int argc, const char **argv) {
    struct paging_options given = {0};
    const struct poptOption options[] = {
        PAGING_OPTIONS(&given),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct waybill_paging paging;
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) || !paging_take(cli, &given, &paging) ||
        cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    const char *bucket = arguments.count > 0 ? arguments.items[0] : NULL;
    bool goes_on = paging.page_token != NULL && paging.page_token[0] != '\0';
    int failed = CLI_OK;
    int letters = CLI_OK;
    if (!is_letter_token(paging.page_token)) {
        failed = list_part(cli, waybill_list_failed, bucket, &given, &paging);
    }
    if (!goes_on || is_letter_token(paging.page_token)) {
        letters = list_part(cli, waybill_list_dead_letters, bucket, &given, &paging);
    }
    return failed != CLI_OK ? failed : letters;
}

static void print_letter(FILE *out, const Waybill__V1__FailedPayload *payload) {
    const Waybill__V1__DeadLetter *letter = payload->dead_letter;
    const Waybill__V1__Record *record = payload->record;
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "dead letter      %s\n", letter->id);
    fprintf(out, "replica          %s\n", letter->replica);
    fprintf(out, "event            %" PRId64 " of %s\n", letter->event_sequence, letter->event_subject);
    if (record->key[0] != '\0') {
        fprintf(out, "record           %s/%s\n", record->bucket, record->key);
        fprintf(out, "version          %" PRId64 "\n", record->version);
        fprintf(out, "payload          %s\n", record->payload_id);
    }
    fprintf(out, "failed           %s\n", output_time(payload->fail_time, text));
    fprintf(out, "why              %s: %s\n", payload->error_reason, payload->error_message);
    fprintf(out, "attempts         %d\n", (int)payload->attempts);
}

static void print_payload(FILE *out, const Waybill__V1__FailedPayload *payload) {
    const Waybill__V1__Record *record = payload->record;
    char text[OUTPUT_TEXT_BYTES];
    fprintf(out, "payload          %s\n", record->payload_id);
    fprintf(out, "record           %s/%s\n", record->bucket, record->key);
    fprintf(out, "version          %" PRId64 "\n", record->version);
    fprintf(out, "serving version  %" PRId64 "\n", record->serving_version);
    if (record->has_size_case != 0) {
        fprintf(out, "size             %" PRId64 " (%s)\n", record->size, output_bytes(record->size, text));
    }
    fprintf(out, "failed           %s\n", output_time(payload->fail_time, text));
    fprintf(out, "why              %s: %s\n", payload->error_reason, payload->error_message);
    fprintf(out, "attempts         %d\n", (int)payload->attempts);
    fprintf(out, "retryable        %s\n", payload->retryable ? "yes" : "no");
    fprintf(out, "kept until       %s\n", output_time(payload->expire_time, text));
}

int cmd_failed_show(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments arguments;
    Waybill__V1__FailedPayload *payload;
    struct error error;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    if (!waybill_get_failed(cli->client, arguments.items[0], &cli->arena, &payload, &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    if (cli->json) {
        output_message(cli, &payload->base);
    } else if (payload->dead_letter != NULL) {
        print_letter(cli->streams.out, payload);
    } else {
        print_payload(cli->streams.out, payload);
    }
    return CLI_OK;
}

/* ---- retry, cancel ---- */

struct deed {
    struct cli *cli;
    const char *request_id; /* NULL: none */
    const char *reason;
    bool cancel;
    int status; /* of the first failure */
};

static bool do_one(const struct deed *deed, const char *payload_id, struct arena *arena, struct error *error) {
    struct cli *cli = deed->cli;
    Waybill__V1__RetryPayloadResponse retried = WAYBILL__V1__RETRY_PAYLOAD_RESPONSE__INIT;
    Waybill__V1__CancelPayloadResponse cancelled = WAYBILL__V1__CANCEL_PAYLOAD_RESPONSE__INIT;
    Waybill__V1__Record *record;
    struct waybill_payload_change change = {payload_id, deed->request_id, deed->reason};
    if (!(deed->cancel ? waybill_cancel_payload : waybill_retry_payload)(cli->client, &change, arena, &record, error)) {
        return false;
    }
    retried.record = cancelled.record = record;
    if (cli->json) {
        output_message(cli, deed->cancel ? &cancelled.base : &retried.base);
    } else if (record->key[0] != '\0') {
        print_made_record(cli, record);
    } else {
        fprintf(cli->streams.out, "%s dropped\n", payload_id); /* a letter of an event that was not understood */
    }
    return output_flush(cli, error);
}

static void do_and_tell(struct deed *deed, const char *payload_id) {
    struct arena arena;
    struct error error;
    arena_init(&arena);
    if (!do_one(deed, payload_id, &arena, &error)) {
        int failed = output_error(deed->cli, payload_id, &error);
        deed->status = deed->status == CLI_OK ? failed : deed->status;
    }
    arena_free(&arena);
}

static int do_each(struct deed *deed, const struct arguments *arguments) {
    for (size_t i = 0; i < arguments->count && !ferror(deed->cli->streams.out); i++) {
        do_and_tell(deed, arguments->items[i]);
    }
    return deed->status;
}

/* What is staged again leaves the listing, which goes on behind it. */
static bool do_page(void *self, const Waybill__V1__ListFailedPayloadsResponse *page) {
    struct deed *deed = self;
    for (size_t i = 0; i < page->n_payloads && !ferror(deed->cli->streams.out); i++) {
        if (page->payloads[i]->retryable) {
            do_and_tell(deed, page->payloads[i]->record->payload_id);
        }
    }
    return !ferror(deed->cli->streams.out);
}

int cmd_failed_retry(struct cli *cli, int argc, const char **argv) {
    struct deed deed = {.cli = cli, .status = CLI_OK};
    char *bucket = NULL;
    char *request_id = NULL;
    char *reason = NULL;
    int all = 0;
    const struct poptOption options[] = {
        OPTION_FLAG("all", 'a', &all, "without PAYLOAD-ID: all whose bytes are still there"),
        OPTION_TEXT("bucket", &bucket, "BUCKET", "the same, but only of this bucket"),
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 0, SIZE_MAX, &arguments)) {
        return cli->usage_status;
    }
    bool listed = all || bucket != NULL;
    if (listed == (arguments.count > 0)) {
        return cli_usage(cli, "name payloads, or give --all or --bucket");
    }
    if (request_id != NULL && arguments.count != 1) {
        return cli_usage(cli, "--request-id names one request: one payload at a time");
    }
    if (cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    deed.request_id = request_id;
    deed.reason = reason;
    struct error error;
    if (listed && !waybill_list_failed(cli->client, bucket, NULL, do_page, &deed, &error)) {
        return output_error(cli, bucket, &error);
    }
    return do_each(&deed, &arguments);
}

int cmd_failed_cancel(struct cli *cli, int argc, const char **argv) {
    struct deed deed = {.cli = cli, .cancel = true, .status = CLI_OK};
    char *request_id = NULL;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_REQUEST_ID(&request_id),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    if (request_id != NULL && arguments.count != 1) {
        return cli_usage(cli, "--request-id names one request: one payload at a time");
    }
    deed.request_id = request_id;
    deed.reason = reason;
    return do_each(&deed, &arguments);
}
