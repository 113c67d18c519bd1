#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/config_value.h"
#include "common/client/proto_json.h"

/* ---- errors ---- */

enum cli_status output_status_of(const struct error *error) {
    switch (error->code) {
    case ERROR_OK:
        return CLI_OK;
    case ERROR_NOT_FOUND:
        return CLI_NOT_FOUND;
    case ERROR_ABORTED:
    case ERROR_ALREADY_EXISTS:
    case ERROR_FAILED_PRECONDITION:
        return CLI_CONFLICT;
    case ERROR_UNAVAILABLE:
    case ERROR_DEADLINE_EXCEEDED:
        return CLI_UNAVAILABLE;
    case ERROR_DATA_LOSS:
        return CLI_DATA_LOSS;
    case ERROR_RESOURCE_EXHAUSTED:
        return CLI_EXHAUSTED;
    case ERROR_PERMISSION_DENIED:
    case ERROR_UNAUTHENTICATED:
        return CLI_DENIED;
    default:
        return CLI_FAILED;
    }
}

static bool is_reason(const struct error *error, const char *reason) {
    return strcmp(error->reason, reason) == 0;
}

/* What to do about it, or "". */
static const char *hint_of(struct cli *cli, const struct error *error) {
    struct arena *arena = &cli->arena;
    if (is_reason(error, "BUCKET_NOT_FOUND")) {
        return "make it with: waybill bucket create NAME";
    }
    if (is_reason(error, "BUCKET_NOT_EMPTY")) {
        return "waybill ls --deleted BUCKET shows what it holds";
    }
    if (is_reason(error, "RECORD_DELETED") && cli->command->run != cmd_rm) {
        return "waybill undelete BUCKET/KEY brings it back";
    }
    if (is_reason(error, "RECORD_EXISTS")) {
        return "waybill versions lists what --version can go back to";
    }
    if (is_reason(error, "VERSION_MISMATCH") && error->detail_value[0] != '\0') {
        return arena_printf(arena, "look at what is there now, then use --if-version=%s", error->detail_value);
    }
    if (is_reason(error, "SNAPSHOT_TRUNCATED") || is_reason(error, "SNAPSHOT_CORRUPT") ||
        is_reason(error, "NOT_A_SNAPSHOT")) {
        return "nothing was restored; use another snapshot, or another copy of this one";
    }
    if (is_reason(error, "REQUEST_ID_REUSED")) {
        return "another request needs another --request-id";
    }
    if (is_reason(error, "REVISION_TRIMMED") && error->detail_value[0] != '\0') {
        return arena_printf(arena, "the oldest that is left is --from=%s", error->detail_value);
    }
    if (is_reason(error, "PAYLOAD_NOT_STORED") || is_reason(error, "PAYLOAD_FAILED")) {
        return "waybill stat shows where the payload stands";
    }
    /* No reason of the server's own: it was not reached. */
    if (error->code == ERROR_UNAVAILABLE && is_reason(error, error_code_name(error->code))) {
        return "is the service running there? See --metadata, --bulk and --object, or WAYBILL_METADATA, "
               "WAYBILL_BULK and WAYBILL_OBJECT";
    }
    return "";
}

static void add_text(json_t *object, const char *name, const char *text) {
    if (text[0] != '\0') {
        json_object_set_new(object, name, proto_json_text(text));
    }
}

json_t *output_error_json(struct cli *cli, const char *subject, const struct error *error) {
    json_t *object = json_object();
    add_text(object, "code", error_code_name(error->code));
    add_text(object, "reason", error->reason);
    add_text(object, "message", error->message);
    add_text(object, "field", error->field);
    if (error->detail_key[0] != '\0') {
        json_t *detail = json_object();
        add_text(detail, error->detail_key, error->detail_value);
        json_object_set_new(object, "detail", detail);
    }
    if (error->retry_after_ms > 0) {
        json_object_set_new(object, "retryAfterMs", json_integer(error->retry_after_ms));
    }
    add_text(object, "command", cli->command->name);
    add_text(object, "subject", subject != NULL ? subject : "");
    add_text(object, "hint", hint_of(cli, error));
    return object;
}

int output_error(struct cli *cli, const char *subject, const struct error *error) {
    int interrupted;
    if (is_reason(error, "OUTPUT_CLOSED")) {
        return CLI_OK;
    }
    if (error->code == ERROR_CANCELLED && interrupt_seen(cli->interrupt, &interrupted)) {
        if (interrupted != 0 && !cli->json) {
            fprintf(cli->streams.err, "waybill: %s: interrupted\n", cli->command->name);
        }
        return interrupted;
    }
    FILE *err = cli->streams.err;
    if (cli->json) {
        json_t *whole = json_pack("{s:o}", "error", output_error_json(cli, subject, error));
        json_dumpf(whole, err, JSON_COMPACT);
        fputc('\n', err);
        json_decref(whole);
        return output_status_of(error);
    }
    fprintf(err, "waybill: %s", cli->command->name);
    if (subject != NULL) {
        fprintf(err, " %s", subject);
    }
    fprintf(err, ": %s", error_code_name(error->code));
    if (error->reason[0] != '\0' && !is_reason(error, error_code_name(error->code))) {
        fprintf(err, " %s", error->reason);
    }
    fprintf(err, ": %s\n", error->message);
    const char *hint = hint_of(cli, error);
    if (hint[0] != '\0') {
        fprintf(err, "hint: %s\n", hint);
    }
    return output_status_of(error);
}

/* ---- answers ---- */

void output_message(struct cli *cli, const ProtobufCMessage *message) {
    char *line = proto_json_line(message);
    fprintf(cli->streams.out, "%s\n", line);
    free(line);
}

void output_snapshot(struct cli *cli, const char *place, const Waybill__V1__SnapshotResponse *snapshot) {
    char size[OUTPUT_TEXT_BYTES];
    char waiting[OUTPUT_TEXT_BYTES];
    const Waybill__V1__SnapshotSummary *summary = snapshot->summary;
    if (cli->json) {
        output_message(cli, &snapshot->base);
    } else if (!cli->quiet) {
        fprintf(cli->streams.out,
                "%s  shard %s  revision %" PRId64 "  %" PRId64 " entries  %" PRId64 " payloads of %s  %s\n", place,
                summary->shard, snapshot->revision, summary->entries, summary->payloads,
                output_bytes(summary->payload_bytes, waiting), output_bytes(summary->size, size));
    }
}

void output_lost_payloads(struct cli *cli, int64_t count) {
    if (count > 0 && !cli->json) {
        fprintf(cli->streams.err, "waybill: %s: the spool had lost %" PRId64 " payloads: their records have no bytes\n",
                cli->command->name, count);
    }
}

void output_json(struct cli *cli, json_t *value) {
    json_dumpf(value, cli->streams.out, JSON_COMPACT);
    fputc('\n', cli->streams.out);
}

bool output_flush(struct cli *cli, struct error *error) {
    errno = 0;
    if (fflush(cli->streams.out) == 0 && !ferror(cli->streams.out)) {
        return true;
    }
    if (errno == EPIPE || errno == 0) {
        return error_set(error, ERROR_CANCELLED, "OUTPUT_CLOSED", "nobody reads the output any more");
    }
    return error_set_errno(error, errno, "writing the output");
}

/* ---- words ---- */

const char *output_enum(const ProtobufCEnumDescriptor *type, int value, char text[OUTPUT_TEXT_BYTES]) {
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
    if (found == NULL) {
        snprintf(text, OUTPUT_TEXT_BYTES, "%d", value);
        return text;
    }
    /* Every first value is <PREFIX>_UNSPECIFIED. */
    const ProtobufCEnumValue *zero = protobuf_c_enum_descriptor_get_value(type, 0);
    const char *end = zero != NULL ? strstr(zero->name, "UNSPECIFIED") : NULL;
    size_t prefix = end != NULL ? (size_t)(end - zero->name) : 0;
    bool shared = end != NULL && strncmp(found->name, zero->name, prefix) == 0;
    snprintf(text, OUTPUT_TEXT_BYTES, "%s", found->name + (shared ? prefix : 0));
    return text;
}

const char *output_time(const Google__Protobuf__Timestamp *time, char text[OUTPUT_TEXT_BYTES]) {
    /* A millisecond is enough for people. */
    if (time == NULL || !proto_json_print_time(time->seconds, time->nanos / 1000000 * 1000000, text)) {
        snprintf(text, OUTPUT_TEXT_BYTES, "-");
    }
    return text;
}

const char *output_duration(const Google__Protobuf__Duration *duration, char text[OUTPUT_TEXT_BYTES]) {
    _Static_assert((int)CONFIG_TEXT_BYTES <= (int)OUTPUT_TEXT_BYTES, "a number with its unit fits");
    config_number_print(CONFIG_TYPE_DURATION, duration->seconds * 1000 + duration->nanos / 1000000, text);
    return text;
}

const char *output_bytes(int64_t bytes, char text[OUTPUT_TEXT_BYTES]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double amount = (double)bytes;
    size_t unit = 0;
    while (amount >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        amount /= 1024;
        unit++;
    }
    snprintf(text, OUTPUT_TEXT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return text;
}
