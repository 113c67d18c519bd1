/* Lines about records, for people. */
#ifndef WAYBILL_CLI_RECORD_LINES_H
#define WAYBILL_CLI_RECORD_LINES_H

#include "cli/cli.h"

/* What a write made: "photos/a  version 1  STAGED  1000 bytes"; nothing where quiet. */
void print_made_record(struct cli *cli, const Waybill__V1__Record *record);
/* The same, or with --json the whole answer that holds it. */
void output_made_record(struct cli *cli, const ProtobufCMessage *answer, const Waybill__V1__Record *record);
/* A line of ls --long: state, size, version, time, key. */
void print_listed_record(FILE *out, const Waybill__V1__Record *record);
/* The same for what several keys have in common: "PREFIX". */
void print_listed_prefix(FILE *out, const char *prefix);
/* A line of versions: version, state, size, time, and why. */
void print_record_version(FILE *out, const Waybill__V1__Record *record);

#endif
