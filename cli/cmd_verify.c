/* waybill verify: a scrub of one object-svc, with what it finds as it finds it. */
#include <inttypes.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/values.h"

struct verifying {
    struct cli *cli;
    struct progress progress;
    bool damage; /* corrupt or missing copies are left */
};

static void print_finding(struct verifying *verifying, const Waybill__V1__ScrubFinding *finding) {
    char kind[OUTPUT_TEXT_BYTES];
    char tier[OUTPUT_TEXT_BYTES];
    char action[OUTPUT_TEXT_BYTES];
    bool acted = finding->action != WAYBILL__V1__SCRUB_ACTION__SCRUB_ACTION_UNSPECIFIED;
    fprintf(verifying->cli->streams.out, "%-9s %-5s %-12s %s/%s version %" PRId64 ": %s\n",
            output_enum(&waybill__v1__scrub_kind__descriptor, (int)finding->kind, kind),
            output_enum(&waybill__v1__tier__descriptor, (int)finding->tier, tier),
            acted ? output_enum(&waybill__v1__scrub_action__descriptor, (int)finding->action, action) : "-",
            finding->bucket, finding->key, finding->version, finding->message);
}

static bool is_damage(const Waybill__V1__ScrubFinding *finding) {
    return (finding->kind == WAYBILL__V1__SCRUB_KIND__SCRUB_KIND_CORRUPT ||
            finding->kind == WAYBILL__V1__SCRUB_KIND__SCRUB_KIND_MISSING) &&
           finding->action != WAYBILL__V1__SCRUB_ACTION__SCRUB_ACTION_REPAIRED;
}

static void take_look(void *self, const Waybill__V1__GetScrubResponse *response) {
    struct verifying *verifying = self;
    struct cli *cli = verifying->cli;
    if (response->n_findings > 0) {
        progress_end(&verifying->progress);
    }
    for (size_t i = 0; i < response->n_findings; i++) {
        verifying->damage |= is_damage(response->findings[i]);
        if (cli->json) {
            output_message(cli, &response->findings[i]->base);
        } else {
            print_finding(verifying, response->findings[i]);
        }
    }
    progress_advance(&verifying->progress, response->bytes_checked, -1);
}

static void print_end(struct cli *cli, const Waybill__V1__GetScrubResponse *end) {
    char bytes[OUTPUT_TEXT_BYTES];
    fprintf(cli->streams.out,
            "%s: %" PRId64 " checks, %s read: %" PRId64 " corrupt, %" PRId64 " missing, %" PRId64 " orphaned, %" PRId64
            " unlisted; %" PRId64 " repaired, %" PRId64 " quarantined, %" PRId64 " failed\n",
            end->replica, end->objects_checked, output_bytes(end->bytes_checked, bytes), end->corrupt, end->missing,
            end->orphaned, end->unlisted, end->repaired, end->quarantined, end->failed);
}

/* What is still wrong. */
static int status_of(const struct verifying *verifying, const Waybill__V1__GetScrubResponse *end) {
    if (verifying->damage) {
        return CLI_DATA_LOSS;
    }
    int64_t found = end->corrupt + end->missing + end->orphaned + end->unlisted;
    return found > end->repaired + end->quarantined ? CLI_FAILED : CLI_OK;
}

int cmd_verify(struct cli *cli, int argc, const char **argv) {
    struct waybill_scrub scrub = {0};
    int repair = 0;
    int quarantine = 0;
    int hot_only = 0;
    char *rate = NULL;
    const struct poptOption options[] = {
        OPTION_FLAG("repair", '\0', &repair, "write damaged and missing copies anew, and tell of unlisted ones"),
        OPTION_FLAG("quarantine", '\0', &quarantine, "put objects aside that no version needs"),
        OPTION_FLAG("hot-only", '\0', &hot_only, "leave the cold store, which replicas share, to another one"),
        OPTION_TEXT("rate", &rate, "SIZE", "bytes a second at most [as the service is configured]"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) ||
        !value_size(cli, "rate", rate, &scrub.bytes_per_second) ||
        (arguments.count > 0 && !value_bucket(cli, arguments.items[0])) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    scrub.bucket = arguments.count > 0 ? arguments.items[0] : NULL;
    scrub.repair = repair != 0;
    scrub.quarantine = quarantine != 0;
    scrub.hot_only = hot_only != 0;
    struct verifying verifying = {.cli = cli};
    struct waybill_scrub_watcher watcher = {take_look, &verifying};
    Waybill__V1__GetScrubResponse *end;
    struct error error;
    progress_begin(&verifying.progress, cli, "verify");
    bool good = waybill_scrub(cli->client, &scrub, &watcher, &cli->arena, &end, &error);
    progress_end(&verifying.progress);
    if (!good) {
        return output_error(cli, scrub.bucket, &error);
    }
    if (cli->json) {
        output_message(cli, &end->base);
    } else {
        print_end(cli, end);
    }
    return output_flush(cli, &error) ? status_of(&verifying, end) : output_error(cli, NULL, &error);
}
