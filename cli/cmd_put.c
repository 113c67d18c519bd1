/* waybill put: files, standard input, announcements and records without payload. */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record_lines.h"
#include "cli/times.h"
#include "cli/values.h"

enum { WAIT_TIMEOUT_MS = 60000 };

struct put_options {
    char *content_type, *if_version, *request_id, *reason, *wait, *wait_timeout, *announce, *payload_deadline;
    char **attributes;
    struct expiry_options expiry;
    int no_payload;
};

/* What all the puts of one command share. */
struct putting {
    struct cli *cli;
    struct waybill_put put;
    bool guess_type;
    bool waits;
    enum waybill_wait until;
    int64_t wait_timeout_ms;
    bool announces;
    struct waybill_announcement announcement;
    bool no_payload;
};

/* ---- options ---- */

static bool take_wait(struct putting *putting, const char *text) {
    if (text == NULL) {
        return true;
    }
    putting->waits = true;
    putting->until = strcmp(text, "stored") == 0 ? WAYBILL_WAIT_STORED : WAYBILL_WAIT_STAGED;
    if (putting->until == WAYBILL_WAIT_STAGED && strcmp(text, "staged") != 0) {
        cli_usage(putting->cli, "--wait: \"%s\" is neither staged nor stored", text);
        return false;
    }
    return true;
}

static bool take_announcement(struct putting *putting, const char *text) {
    putting->announces = text != NULL;
    putting->announcement.size = -1;
    return text == NULL || strcmp(text, "unknown") == 0 ||
           value_size(putting->cli, "announce", text, &putting->announcement.size);
}

static bool take_options(struct putting *putting, const struct put_options *given) {
    struct cli *cli = putting->cli;
    struct waybill_put *put = &putting->put;
    putting->guess_type = given->content_type == NULL;
    putting->wait_timeout_ms = WAIT_TIMEOUT_MS;
    putting->no_payload = given->no_payload;
    put->content_type = given->content_type;
    put->has_if_version_match = given->if_version != NULL;
    put->request_id = given->request_id;
    put->reason = given->reason;
    if (putting->no_payload && given->announce != NULL) {
        cli_usage(cli, "--announce and --no-payload exclude each other");
        return false;
    }
    return value_attributes(cli, "attr", given->attributes, &put->attributes, &put->attribute_count) &&
           value_expiry(cli, &given->expiry, false, given->request_id, &put->expire_time) &&
           value_integer(cli, "if-version", given->if_version, 0, INT64_MAX, &put->if_version_match) &&
           value_duration(cli, "payload-deadline", given->payload_deadline, &put->payload_deadline_ms) &&
           value_duration(cli, "wait-timeout", given->wait_timeout, &putting->wait_timeout_ms) &&
           take_wait(putting, given->wait) && take_announcement(putting, given->announce);
}

/* ---- one put ---- */

static bool send_payload(struct putting *putting, const char *file, struct arena *arena, Waybill__V1__Record **record,
                         struct error *error) {
    struct cli *cli = putting->cli;
    struct progress progress;
    progress_begin(&progress, cli, putting->put.key);
    bool ok =
        strcmp(file, "-") == 0
            ? waybill_put_fd(cli->client, &putting->put, cli->streams.in, &progress.callback, arena, record, error)
            : waybill_put_file(cli->client, &putting->put, file, &progress.callback, arena, record, error);
    progress_end(&progress);
    return ok;
}

static bool announce(struct putting *putting, struct arena *arena, struct error *error) {
    struct cli *cli = putting->cli;
    Waybill__V1__PutRecordResponse *response;
    if (!waybill_announce(cli->client, &putting->put, &putting->announcement, arena, &response, error)) {
        return false;
    }
    if (cli->json) {
        output_message(cli, &response->base);
    } else {
        fprintf(cli->streams.out, "%s\n", response->upload_id);
    }
    return output_flush(cli, error);
}

static bool put_one(struct putting *putting, const char *file, struct arena *arena, struct error *error) {
    struct cli *cli = putting->cli;
    if (putting->announces) {
        return announce(putting, arena, error);
    }
    Waybill__V1__Record *record;
    bool ok = putting->no_payload ? waybill_put_record(cli->client, &putting->put, arena, &record, error)
                                  : send_payload(putting, file, arena, &record, error);
    if (!ok || (putting->waits && !waybill_wait(cli->client, record->bucket, record->key, record->version,
                                                putting->until, putting->wait_timeout_ms, arena, &record, error))) {
        return false;
    }
    Waybill__V1__PutRecordResponse response = WAYBILL__V1__PUT_RECORD_RESPONSE__INIT;
    response.record = record;
    output_made_record(cli, &response.base, record);
    return output_flush(cli, error);
}

/* ---- all of them ---- */

static bool name_is_appended(const struct target *target, size_t files) {
    size_t size = strlen(target->key);
    return files > 1 || size == 0 || target->key[size - 1] == '/';
}

/* Every key is known and checked before the first byte is sent. */
static bool find_keys(struct putting *putting, const struct arguments *arguments, const char **keys) {
    struct cli *cli = putting->cli;
    size_t files = arguments->count - 1;
    const char *last = arguments->items[files];
    struct target target;
    if (!value_target(cli, last, &target)) {
        return false;
    }
    for (size_t i = 0; i < files || i == 0; i++) {
        const char *file = files > 0 ? arguments->items[i] : "";
        struct target whole = target;
        if (files > 0 && name_is_appended(&target, files)) {
            size_t size = strlen(target.key);
            bool slash = size > 0 && target.key[size - 1] != '/';
            if (strcmp(file, "-") == 0) {
                cli_usage(cli, "standard input has no name: give it a whole BUCKET/KEY, alone");
                return false;
            }
            last = arena_printf(&cli->arena, "%s/%s%s%s", target.bucket, target.key, slash ? "/" : "",
                                value_base_name(file));
        }
        if (!value_key(cli, last, &whole)) {
            return false;
        }
        putting->put.bucket = whole.bucket;
        keys[i] = whole.key;
    }
    return true;
}

static int put_all(struct putting *putting, const struct arguments *arguments, const char **keys) {
    struct cli *cli = putting->cli;
    size_t files = arguments->count - 1;
    int status = CLI_OK;
    for (size_t i = 0; i < files || i == 0; i++) {
        const char *file = files > 0 ? arguments->items[i] : "";
        struct arena arena;
        struct error error;
        int interrupted;
        arena_init(&arena);
        putting->put.key = keys[i];
        if (putting->guess_type) {
            putting->put.content_type = value_content_type(strcmp(file, "-") == 0 || files == 0 ? keys[i] : file);
        }
        if (!put_one(putting, file, &arena, &error)) {
            int failed = output_error(cli, arena_printf(&arena, "%s/%s", putting->put.bucket, keys[i]), &error);
            status = status == CLI_OK ? failed : status;
        }
        arena_free(&arena);
        if (interrupt_seen(cli->interrupt, &interrupted) || ferror(cli->streams.out)) {
            break;
        }
    }
    return status;
}

int cmd_put(struct cli *cli, int argc, const char **argv) {
    struct put_options given = {0};
    const struct poptOption options[] = {
        OPTION_TEXT("content-type", &given.content_type, "TYPE", "media type [guessed from the name]"),
        OPTION_LIST("attr", &given.attributes, "NAME[:TYPE]=VALUE",
                    "an attribute; types string, int, double, bool, time, bytes; repeatable"),
        EXPIRY_OPTIONS(&given.expiry, "when the record expires, RFC 3339 [by the bucket]"),
        OPTION_IF_VERSION(&given.if_version, "only if the latest version is N; 0: only if there is none"),
        OPTION_REQUEST_ID(&given.request_id),
        OPTION_REASON(&given.reason),
        OPTION_TEXT("payload-deadline", &given.payload_deadline, "DURATION",
                    "time the payload has to become STORED [by the bucket]"),
        OPTION_TEXT("wait", &given.wait, "STATE", "return only when it is staged, or stored"),
        OPTION_TEXT("wait-timeout", &given.wait_timeout, "DURATION", "how long to wait; 0: for ever [60s]"),
        OPTION_TEXT("announce", &given.announce, "SIZE",
                    "no FILE: promise a payload of this size, or unknown, and print its upload id"),
        OPTION_FLAG("no-payload", '\0', &given.no_payload, "no FILE: a record of metadata only"),
        POPT_TABLEEND,
    };
    struct arguments arguments;
    struct putting putting = {.cli = cli};
    if (!cli_parse(cli, options, argc, argv, 1, SIZE_MAX, &arguments) || !take_options(&putting, &given)) {
        return cli->usage_status;
    }
    bool fileless = putting.announces || putting.no_payload;
    if (fileless != (arguments.count == 1)) {
        return cli_usage(cli, fileless ? "with --announce and --no-payload goes only BUCKET/KEY"
                                       : "too few arguments: FILE... BUCKET/KEY");
    }
    if (arguments.count > 2 && given.request_id != NULL) {
        return cli_usage(cli, "--request-id names one request: put one file at a time");
    }
    const char **keys = arena_zalloc(&cli->arena, arguments.count * sizeof *keys);
    if (!find_keys(&putting, &arguments, keys) || cli_client(cli) == NULL) {
        return cli->usage_status;
    }
    return put_all(&putting, &arguments, keys);
}
