/* waybill promote, waybill demote: one object after the other, between the tiers. */
#include "cli/each_record.h"
#include "cli/output.h"
#include "cli/progress.h"

struct moving {
    struct waybill_move move;
    struct progress progress;
};

static void take_look(void *self, int64_t moved_bytes, int64_t size_bytes) {
    struct moving *moving = self;
    progress_advance(&moving->progress, moved_bytes, size_bytes);
}

static void print_tiers(FILE *out, const Waybill__V1__Record *record) {
    char tier[OUTPUT_TEXT_BYTES];
    for (size_t i = 0; i < record->n_locations; i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "",
                output_enum(&waybill__v1__tier__descriptor, (int)record->locations[i]->tier, tier));
    }
}

static void print_end(struct cli *cli, const struct moving *moving, bool done, Waybill__V1__Record *record) {
    if (cli->json) {
        output_message(cli, &record->base);
        return;
    }
    if (cli->quiet) {
        return;
    }
    const char *what = moving->move.to_cold ? (done ? "demoted" : "demoting") : (done ? "promoted" : "promoting");
    fprintf(cli->streams.out, "%s %s/%s  version %lld  in ", what, record->bucket, record->key,
            (long long)record->version);
    print_tiers(cli->streams.out, record);
    fputc('\n', cli->streams.out);
}

static bool move_one(struct cli *cli, const struct target *target, void *self, struct arena *arena,
                     struct error *error) {
    struct moving *moving = self;
    struct waybill_move_watcher watcher = {take_look, moving};
    Waybill__V1__Record *record;
    bool done;
    moving->move.bucket = target->bucket;
    moving->move.key = target->key;
    progress_begin(&moving->progress, cli, target->key);
    bool good = waybill_move_object(cli->client, &moving->move, &watcher, arena, &done, &record, error);
    progress_end(&moving->progress);
    if (good) {
        print_end(cli, moving, done, record);
    }
    return good;
}

static int move_all(struct cli *cli, int argc, const char **argv, bool to_cold) {
    struct moving moving = {.move.to_cold = to_cold};
    char *version = NULL;
    int detach = 0;
    const struct poptOption options[] = {
        OPTION_TEXT("version", &version, "N", "this version [the one that readers get]"),
        OPTION_FLAG("detach", '\0', &detach, "do not wait until it is moved"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) ||
        !value_integer(cli, "version", version, 1, INT64_MAX, &moving.move.version)) {
        return cli->usage_status;
    }
    if (version != NULL && arguments.count > 1) {
        return cli_usage(cli, "--version is of one record: one at a time");
    }
    moving.move.wait = detach == 0;
    return each_record(cli, &arguments, NULL, move_one, &moving);
}

int cmd_promote(struct cli *cli, int argc, const char **argv) {
    return move_all(cli, argc, argv, false);
}

int cmd_demote(struct cli *cli, int argc, const char **argv) {
    return move_all(cli, argc, argv, true);
}
