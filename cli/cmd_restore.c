/* waybill restore: a data directory for metadata-svc out of a snapshot; offline. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/base/log.h"
#include "metadata-svc/snapshot/snapshot_restore.h"

enum { SIGNAL_CHECK_MS = 100 };

struct snapshot_file {
    struct cli *cli;
    int fd;
    const char *name;
    int64_t done, total;
    struct progress progress;
};

static bool open_file(struct snapshot_file *file, const char *path, struct error *error) {
    struct stat status;
    bool is_input = strcmp(path, "-") == 0;
    file->name = is_input ? "standard input" : path;
    file->fd = is_input ? file->cli->streams.in : open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 && errno == ENOENT) {
        return error_set(error, ERROR_NOT_FOUND, "FILE_NOT_FOUND", "there is no file %s", path);
    }
    if (file->fd < 0 || fstat(file->fd, &status) != 0) {
        return error_set_errno(error, errno, "opening %s", file->name);
    }
    file->total = S_ISREG(status.st_mode) ? status.st_size : -1;
    return true;
}

/* Until there is something to read, or a signal came. */
static bool wait_for_input(const struct snapshot_file *file, struct error *error) {
    struct pollfd input = {.fd = file->fd, .events = POLLIN};
    int status;
    do {
        if (interrupt_seen(file->cli->interrupt, &status)) {
            return error_set(error, ERROR_CANCELLED, "CLIENT_CANCELLED", "interrupted");
        }
    } while (poll(&input, 1, SIGNAL_CHECK_MS) == 0);
    return true;
}

static int64_t read_file(void *self, void *out, size_t size, struct error *error) {
    struct snapshot_file *file = self;
    size_t have = 0;
    ssize_t got = 1;
    while (have < size && got > 0) {
        if (!wait_for_input(file, error)) {
            return -1;
        }
        got = read(file->fd, (uint8_t *)out + have, size - have);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        if (got < 0) {
            error_set_errno(error, errno, "reading %s", file->name);
            return -1;
        }
        have += (size_t)got;
    }
    file->done += (int64_t)have;
    progress_advance(&file->progress, file->done, file->total);
    return (int64_t)have;
}

/* In the words of the API, as `waybill snapshot` told it. */
static void print_result(struct cli *cli, const char *directory, const struct snapshot_summary *summary) {
    Waybill__V1__SnapshotSummary message = WAYBILL__V1__SNAPSHOT_SUMMARY__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = summary->header.take_unix_us / 1000000;
    time.nanos = (int32_t)(summary->header.take_unix_us % 1000000) * 1000;
    message.shard = (char *)(uintptr_t)summary->header.shard;
    message.take_time = &time;
    message.entries = summary->totals.entries;
    message.payloads = summary->totals.payloads;
    message.payload_bytes = summary->totals.payload_bytes;
    message.lost_payloads = summary->totals.lost_payloads;
    message.size = summary->size_bytes;
    message.crc32c = summary->crc32c;
    Waybill__V1__SnapshotResponse response = WAYBILL__V1__SNAPSHOT_RESPONSE__INIT;
    response.revision = summary->header.revision;
    response.summary = &message;
    output_snapshot(cli, directory, &response);
    output_lost_payloads(cli, message.lost_payloads);
}

int cmd_restore(struct cli *cli, int argc, const char **argv) {
    char *spool_dir = NULL;
    const struct poptOption options[] = {
        OPTION_TEXT("spool-dir", &spool_dir, "DIR", "where the payload spool goes [DATA_DIR/spool]"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 2, 2, &arguments)) {
        return cli->usage_status;
    }
    const char *path = arguments.items[0];
    const char *data_dir = arguments.items[1];
    struct snapshot_file file = {.cli = cli};
    struct snapshot_source source = {read_file, &file};
    struct snapshot_summary summary;
    struct error error;
    if (!open_file(&file, path, &error)) {
        return output_error(cli, path, &error);
    }
    log_setup("waybill", LOG_LEVEL_ERROR); /* the rooms of a service tell more than a command does */
    interrupt_is_polled(cli->interrupt);
    progress_begin(&file.progress, cli, "restore");
    bool good = snapshot_restore(&source, data_dir, spool_dir, &summary, &error);
    progress_end(&file.progress);
    if (file.fd != cli->streams.in) {
        close(file.fd);
    }
    if (!good) {
        return output_error(cli, path, &error);
    }
    print_result(cli, data_dir, &summary);
    return CLI_OK;
}
