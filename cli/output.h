/* What the commands print: answers on standard output, errors on standard error. */
#ifndef WAYBILL_CLI_OUTPUT_H
#define WAYBILL_CLI_OUTPUT_H

#include <jansson.h>

#include "cli/cli.h"

enum { OUTPUT_TEXT_BYTES = 64 };

/* Tells of the error and returns the exit status: "waybill: put photos/a: NOT_FOUND ...", and
 * a hint where there is one. `subject` is what the command was at, or NULL. Quiet where the
 * reader of standard output went away, or a signal ended the command. */
int output_error(struct cli *cli, const char *subject, const struct error *error);
/* The same as JSON, a new reference. */
json_t *output_error_json(struct cli *cli, const char *subject, const struct error *error);
enum cli_status output_status_of(const struct error *error);

/* Prints a message, or JSON, as one line. */
void output_message(struct cli *cli, const ProtobufCMessage *message);
void output_json(struct cli *cli, json_t *value);

/* What a snapshot holds, and where it is. */
void output_snapshot(struct cli *cli, const char *place, const Waybill__V1__SnapshotResponse *snapshot);
/* A warning, where there are some. */
void output_lost_payloads(struct cli *cli, int64_t count);

/* Flushes standard output. False when nobody reads it any more (reason OUTPUT_CLOSED) or it
 * cannot be written. */
bool output_flush(struct cli *cli, struct error *error);

/* "STORED" of RECORD_STATE_STORED: the name without what all the enum's names begin with. */
const char *output_enum(const ProtobufCEnumDescriptor *type, int value, char text[OUTPUT_TEXT_BYTES]);
/* "2026-01-02T03:04:05.678Z", or "-". */
const char *output_time(const Google__Protobuf__Timestamp *time, char text[OUTPUT_TEXT_BYTES]);
/* "24h", "1500ms", as options take it. */
const char *output_duration(const Google__Protobuf__Duration *duration, char text[OUTPUT_TEXT_BYTES]);
/* "1.5 MiB". */
const char *output_bytes(int64_t bytes, char text[OUTPUT_TEXT_BYTES]);

#endif
