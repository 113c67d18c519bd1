/* waybill snapshot: a consistent copy of a metadata-svc that goes on working. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/partial_file.h"
#include "cli/progress.h"

struct taking {
    struct cli *cli;
    bool to_output;
    struct partial_file file;
    struct progress progress;
    int64_t done;
};

static bool write_data(void *self, struct bytes data, struct error *error) {
    struct taking *taking = self;
    bool wrote = taking->to_output ? write_fully(fileno(taking->cli->streams.out), data, "standard output", error)
                                   : partial_file_write(&taking->file, data, error);
    taking->done += (int64_t)data.size;
    progress_advance(&taking->progress, taking->done, -1);
    return wrote;
}

/* A backup is there once it would survive the loss of power. */
static bool finish_file(struct partial_file *file, struct error *error) {
    if (file->partial != NULL && fsync(file->fd) != 0) {
        error_set_errno(error, errno, "making %s durable", file->path);
        partial_file_abandon(file);
        return false;
    }
    return partial_file_finish(file, error);
}

static bool take(struct taking *taking, const char *path, Waybill__V1__SnapshotResponse **taken, struct error *error) {
    struct cli *cli = taking->cli;
    struct waybill_snapshot_sink sink = {write_data, taking};
    if (!taking->to_output && !partial_file_open(&taking->file, cli, path, error)) {
        return false;
    }
    progress_begin(&taking->progress, cli, "snapshot");
    bool good = waybill_take_snapshot(cli->client, &sink, &cli->arena, taken, error);
    progress_end(&taking->progress);
    if (taking->to_output) {
        return good;
    }
    if (!good) {
        partial_file_abandon(&taking->file);
        return false;
    }
    return finish_file(&taking->file, error);
}

int cmd_snapshot(struct cli *cli, int argc, const char **argv) {
    static const struct poptOption options[] = {POPT_TABLEEND};
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, 1, &arguments) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    const char *path = arguments.items[0];
    struct taking taking = {.cli = cli, .to_output = strcmp(path, "-") == 0};
    Waybill__V1__SnapshotResponse *taken;
    struct error error;
    if (!take(&taking, path, &taken, &error)) {
        return output_error(cli, path, &error);
    }
    if (!taking.to_output) {
        output_snapshot(cli, path, taken);
    }
    output_lost_payloads(cli, taken->summary->lost_payloads);
    return CLI_OK;
}
