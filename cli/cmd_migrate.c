/* waybill migrate: moves the cold store, or the hot volumes, of one object-svc to another place, step by step. */
#include <inttypes.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

#define OPTION_HOT(flag_) OPTION_FLAG("hot", '\0', flag_, "the hot volumes of the replica, not the cold store")

static Waybill__V1__Tier tier_of(int hot) {
    return hot != 0 ? WAYBILL__V1__TIER__TIER_HOT : WAYBILL__V1__TIER__TIER_COLD;
}

struct watching {
    struct cli *cli;
    struct progress progress;
    int64_t told; /* failed objects that were told of */
};

static void take_look(void *self, const Waybill__V1__Migration *migration) {
    struct watching *watching = self;
    if (migration->error_reason[0] != '\0' && migration->failed_objects + 1 != watching->told && !watching->cli->json &&
        !watching->cli->quiet) {
        progress_end(&watching->progress);
        fprintf(watching->cli->streams.err, "waybill: migrate: %s: %s: trying again\n", migration->error_reason,
                migration->error_message);
        watching->told = migration->failed_objects + 1;
    }
    progress_advance(&watching->progress, migration->copied_bytes, -1);
}

static void print_migration(struct cli *cli, const Waybill__V1__Migration *migration) {
    char phase[OUTPUT_TEXT_BYTES];
    char bytes[OUTPUT_TEXT_BYTES];
    if (cli->json) {
        output_message(cli, &migration->base);
        return;
    }
    FILE *out = cli->streams.out;
    fprintf(out, "%s: %s to %s\n", migration->replica,
            output_enum(&waybill__v1__migration_phase__descriptor, (int)migration->phase, phase), migration->target);
    fprintf(out, "  copied   %" PRId64 " objects, %s\n", migration->copied_objects,
            output_bytes(migration->copied_bytes, bytes));
    if (migration->tier == WAYBILL__V1__TIER__TIER_HOT) {
        fprintf(out, "  to move  %" PRId64 " objects, %s\n", migration->remaining_objects,
                output_bytes(migration->remaining_bytes, bytes));
    }
    if (migration->failed_objects > 0 || migration->error_reason[0] != '\0') {
        fprintf(out, "  failed   %" PRId64 " objects: %s: %s\n", migration->failed_objects, migration->error_reason,
                migration->error_message);
    }
}

static int show(struct cli *cli, const Waybill__V1__Migration *migration) {
    struct error error;
    print_migration(cli, migration);
    return output_flush(cli, &error) ? CLI_OK : output_error(cli, NULL, &error);
}

int cmd_migrate_start(struct cli *cli, int argc, const char **argv) {
    int hot = 0;
    int join = 0;
    int detach = 0;
    const struct poptOption options[] = {
        OPTION_HOT(&hot),
        OPTION_FLAG("join", '\0', &join, "write to both places, and leave the copying to another replica"),
        OPTION_FLAG("detach", '\0', &detach, "do not wait until everything is copied"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    struct watching watching = {.cli = cli};
    struct waybill_migration_watcher watcher = {take_look, &watching};
    Waybill__V1__Migration *migration;
    struct error error;
    if (!waybill_start_migration(cli->client, tier_of(hot), arguments.items[0], join != 0, &cli->arena, &error)) {
        return output_error(cli, arguments.items[0], &error);
    }
    progress_begin(&watching.progress, cli, "migrate");
    bool good = detach ? waybill_get_migration(cli->client, tier_of(hot), &cli->arena, &migration, &error)
                       : waybill_await_migration(cli->client, tier_of(hot), &watcher, &cli->arena, &migration, &error);
    progress_end(&watching.progress);
    return good ? show(cli, migration) : output_error(cli, arguments.items[0], &error);
}

int cmd_migrate_status(struct cli *cli, int argc, const char **argv) {
    int hot = 0;
    int wait = 0;
    const struct poptOption options[] = {
        OPTION_HOT(&hot),
        OPTION_FLAG("wait", '\0', &wait, "wait until everything is copied"),
        POPT_TABLEEND,
    };
    struct arguments none;
    if (!cli_parse(cli, options, argc, argv, 0, 0, &none) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    struct watching watching = {.cli = cli};
    struct waybill_migration_watcher watcher = {take_look, &watching};
    Waybill__V1__Migration *migration;
    struct error error;
    progress_begin(&watching.progress, cli, "migrate");
    bool good = wait ? waybill_await_migration(cli->client, tier_of(hot), &watcher, &cli->arena, &migration, &error)
                     : waybill_get_migration(cli->client, tier_of(hot), &cli->arena, &migration, &error);
    progress_end(&watching.progress);
    return good ? show(cli, migration) : output_error(cli, NULL, &error);
}

static int step(struct cli *cli, int argc, const char **argv, Waybill__V1__MigrationStep which, bool of_hot) {
    static const struct poptOption no_options[] = {POPT_TABLEEND};
    int hot = 0;
    const struct poptOption options[] = {OPTION_HOT(&hot), POPT_TABLEEND};
    struct arguments none;
    Waybill__V1__Migration *migration;
    struct error error;
    if (!cli_parse(cli, of_hot ? options : no_options, argc, argv, 0, 0, &none) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    if (!waybill_change_migration(cli->client, tier_of(hot), which, &cli->arena, &migration, &error)) {
        return output_error(cli, NULL, &error);
    }
    return which == WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_CANCEL ? CLI_OK : show(cli, migration);
}

int cmd_migrate_switch(struct cli *cli, int argc, const char **argv) {
    return step(cli, argc, argv, WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_SWITCH, false);
}

int cmd_migrate_back(struct cli *cli, int argc, const char **argv) {
    return step(cli, argc, argv, WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_BACK, false);
}

int cmd_migrate_finish(struct cli *cli, int argc, const char **argv) {
    return step(cli, argc, argv, WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_FINISH, true);
}

int cmd_migrate_cancel(struct cli *cli, int argc, const char **argv) {
    return step(cli, argc, argv, WAYBILL__V1__MIGRATION_STEP__MIGRATION_STEP_CANCEL, true);
}
