#include "cli/record_lines.h"

#include <inttypes.h>

#include "cli/output.h"

static const char *state_text(const Waybill__V1__Record *record, char text[OUTPUT_TEXT_BYTES]) {
    return output_enum(&waybill__v1__record_state__descriptor, (int)record->state, text);
}

/* "-" where it has none, or it is not known. */
static const char *size_text(const Waybill__V1__Record *record, char text[OUTPUT_TEXT_BYTES]) {
    if (record->has_size_case == 0) {
        return "-";
    }
    snprintf(text, OUTPUT_TEXT_BYTES, "%" PRId64, record->size);
    return text;
}

void output_made_record(struct cli *cli, const ProtobufCMessage *answer, const Waybill__V1__Record *record) {
    if (cli->json) {
        output_message(cli, answer);
    } else {
        print_made_record(cli, record);
    }
}

void print_made_record(struct cli *cli, const Waybill__V1__Record *record) {
    char state[OUTPUT_TEXT_BYTES];
    char size[OUTPUT_TEXT_BYTES];
    if (cli->quiet) {
        return;
    }
    fprintf(cli->streams.out, "%s/%s  version %" PRId64 "  %s", record->bucket, record->key, record->version,
            state_text(record, state));
    if (record->has_size_case != 0) {
        fprintf(cli->streams.out, "  %s bytes", size_text(record, size));
    }
    fputc('\n', cli->streams.out);
}

void print_listed_record(FILE *out, const Waybill__V1__Record *record) {
    char state[OUTPUT_TEXT_BYTES];
    char size[OUTPUT_TEXT_BYTES];
    char time[OUTPUT_TEXT_BYTES];
    fprintf(out, "%-16s %14s %8" PRId64 "  %-24s  %s\n", state_text(record, state), size_text(record, size),
            record->version, output_time(record->update_time, time), record->key);
}

void print_listed_prefix(FILE *out, const char *prefix) {
    fprintf(out, "%-16s %14s %8s  %-24s  %s\n", "PREFIX", "-", "-", "-", prefix);
}

/* The caller's reason, or what ended the record where no caller did; "" where there is nothing to tell. */
static const char *why_text(const Waybill__V1__Record *record, char text[OUTPUT_TEXT_BYTES]) {
    const Waybill__V1__Cause *cause = record->cause;
    bool ended = record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_DELETED ||
                 record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_FAILED;
    if (cause == NULL || cause->reason[0] != '\0') {
        return cause != NULL ? cause->reason : "";
    }
    bool told = ended && cause->system != WAYBILL__V1__SYSTEM_CAUSE__SYSTEM_CAUSE_CLIENT;
    return told ? output_enum(&waybill__v1__system_cause__descriptor, (int)cause->system, text) : "";
}

void print_record_version(FILE *out, const Waybill__V1__Record *record) {
    char state[OUTPUT_TEXT_BYTES];
    char size[OUTPUT_TEXT_BYTES];
    char time[OUTPUT_TEXT_BYTES];
    char buffer[OUTPUT_TEXT_BYTES];
    const char *why = why_text(record, buffer);
    fprintf(out, "%8" PRId64 "  %-16s %14s  %-24s%s%s\n", record->version, state_text(record, state),
            size_text(record, size), output_time(record->update_time, time), why[0] != '\0' ? "  " : "", why);
}
