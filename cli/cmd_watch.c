/* waybill watch: a line per change. */
#include <inttypes.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "waybill/v1/event.pb-c.h"

enum { MAX_TYPES = 32 };

struct watching {
    struct cli *cli;
    bool failed;
    bool told;          /* of this interruption */
    struct error error; /* of the output */
};

static void print_event(FILE *out, const Waybill__V1__ChangeEvent *event) {
    char time[OUTPUT_TEXT_BYTES];
    char type[OUTPUT_TEXT_BYTES];
    char state[OUTPUT_TEXT_BYTES];
    fprintf(out, "%8" PRId64 "  %-24s  %-14s ", event->revision, output_time(event->commit_time, time),
            output_enum(&waybill__v1__change_type__descriptor, (int)event->type, type));
    if (event->record != NULL) {
        fprintf(out, " %s/%s  version %" PRId64 "  %s", event->record->bucket, event->record->key,
                event->record->version,
                output_enum(&waybill__v1__record_state__descriptor, (int)event->record->state, state));
    } else if (event->bucket != NULL) {
        fprintf(out, " %s", event->bucket->name);
    }
    if (event->cause != NULL && event->cause->reason[0] != '\0') {
        fprintf(out, "  (%s)", event->cause->reason);
    }
    fputc('\n', out);
}

static bool take_change(void *self, const Waybill__V1__ChangeEvent *event) {
    struct watching *watching = self;
    struct cli *cli = watching->cli;
    watching->told = false;
    if (cli->json) {
        output_message(cli, &event->base);
    } else {
        print_event(cli->streams.out, event);
    }
    watching->failed = !output_flush(cli, &watching->error);
    return !watching->failed;
}

static void tell_interruption(void *self, const struct error *why) {
    struct watching *watching = self;
    struct cli *cli = watching->cli;
    int status;
    if (!watching->told && !cli->quiet && !cli->json && !interrupt_seen(cli->interrupt, &status)) {
        fprintf(cli->streams.err, "waybill: watch: %s: connecting again\n", why->message);
    }
    watching->told = true;
}

/* "staged,stored" */
static bool take_types(struct cli *cli, const char *text, Waybill__V1__ChangeType types[MAX_TYPES], size_t *count) {
    char *rest = text != NULL ? arena_strdup(&cli->arena, text) : NULL;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        int type = 0;
        if (*count == MAX_TYPES) {
            cli_usage(cli, "--types: too many");
            return false;
        }
        if (!value_enum(cli, "types", &waybill__v1__change_type__descriptor, word, &type)) {
            return false;
        }
        types[(*count)++] = (Waybill__V1__ChangeType)type;
    }
    return true;
}

int cmd_watch(struct cli *cli, int argc, const char **argv) {
    char *from = NULL;
    char *types_text = NULL;
    const struct poptOption options[] = {
        OPTION_TEXT("from", &from, "REVISION", "from this revision on [from now on]"),
        OPTION_TEXT("types", &types_text, "TYPE,...",
                    "only these: committed, staged, stored, tiered, failed, reverted, deleted, bucket-created, "
                    "bucket-updated, bucket-deleted"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct target target = {0};
    struct waybill_watch watch = {0};
    Waybill__V1__ChangeType types[MAX_TYPES];
    if (!cli_parse(cli, options, argc, argv, 0, 1, &arguments) ||
        !value_integer(cli, "from", from, 1, INT64_MAX, &watch.start_revision) ||
        !take_types(cli, types_text, types, &watch.type_count) ||
        (arguments.count > 0 && !value_target(cli, arguments.items[0], &target)) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    watch.types = types;
    watch.bucket = target.bucket;
    watch.key_prefix = target.key;
    interrupt_is_success(cli->interrupt);
    struct watching watching = {.cli = cli};
    struct waybill_watcher watcher = {take_change, tell_interruption, &watching};
    struct error error;
    if (!waybill_watch(cli->client, &watch, &watcher, &error)) {
        return output_error(cli, arguments.count > 0 ? arguments.items[0] : NULL, &error);
    }
    return watching.failed ? output_error(cli, NULL, &watching.error) : CLI_OK;
}
