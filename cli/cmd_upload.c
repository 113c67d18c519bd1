/* waybill upload: the payload of an announcement. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record_lines.h"
#include "common/base/uuid.h"

static bool upload(struct cli *cli, const char *file, const char *upload_id, Waybill__V1__Record **record,
                   struct error *error) {
    bool is_file = strcmp(file, "-") != 0;
    int fd = is_file ? open(file, O_RDONLY | O_CLOEXEC) : cli->streams.in;
    if (fd < 0) {
        return error_set_errno(error, errno, "opening %s", file);
    }
    struct progress progress;
    progress_begin(&progress, cli, file);
    bool ok = waybill_upload_fd(cli->client, upload_id, fd, &progress.callback, &cli->arena, record, error);
    progress_end(&progress);
    if (is_file) {
        close(fd);
    }
    return ok;
}

static int cancel(struct cli *cli, const char *upload_id, const char *reason) {
    Waybill__V1__CancelUploadResponse *response;
    struct error error;
    if (!waybill_cancel_upload(cli->client, upload_id, reason, &cli->arena, &response, &error)) {
        return output_error(cli, upload_id, &error);
    }
    if (cli->json) {
        output_message(cli, &response->base);
    } else if (response->record != NULL) {
        print_made_record(cli, response->record);
    }
    return CLI_OK;
}

int cmd_upload(struct cli *cli, int argc, const char **argv) {
    int cancels = 0;
    char *reason = NULL;
    const struct poptOption options[] = {
        OPTION_FLAG("cancel", '\0', &cancels, "no FILE: give the upload up, and what has arrived of it"),
        OPTION_REASON(&reason),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    if (!cli_parse(cli, options, argc, argv, 1, 2, &arguments)) {
        return cli->usage_status;
    }
    if ((arguments.count == 1) != (cancels != 0) || (reason != NULL && cancels == 0)) {
        return cli_usage(cli, cancels != 0 ? "with --cancel goes only UPLOAD-ID" : "FILE and UPLOAD-ID are needed");
    }
    struct uuid id;
    const char *upload_id = arguments.items[arguments.count - 1];
    if (!uuid_parse_text(upload_id, &id)) {
        return cli_usage(cli, "\"%s\" is no upload id", upload_id);
    }
    if (cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    if (cancels != 0) {
        return cancel(cli, upload_id, reason);
    }
    Waybill__V1__Record *record;
    struct error error;
    if (!upload(cli, arguments.items[0], arguments.items[1], &record, &error)) {
        return output_error(cli, arguments.items[1], &error);
    }
    Waybill__V1__UploadPayloadResponse response = WAYBILL__V1__UPLOAD_PAYLOAD_RESPONSE__INIT;
    response.record = record;
    output_made_record(cli, &response.base, record);
    return CLI_OK;
}
