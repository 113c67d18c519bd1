/* A file that appears under its name only when it is whole: written beside it under a name of
 * its own, then renamed. A target that is no regular file (a device, a pipe) is written
 * directly. */
#ifndef WAYBILL_CLI_PARTIAL_FILE_H
#define WAYBILL_CLI_PARTIAL_FILE_H

#include "cli/cli.h"

struct partial_file {
    struct cli *cli;
    const char *path;
    char *partial; /* in the cli's arena; NULL when written directly */
    int fd;
};

bool partial_file_open(struct partial_file *file, struct cli *cli, const char *path, struct error *error);
bool partial_file_write(struct partial_file *file, struct bytes data, struct error *error);
/* Gives it its name. On failure nothing is left. */
bool partial_file_finish(struct partial_file *file, struct error *error);
/* Leaves nothing. */
void partial_file_abandon(struct partial_file *file);

/* Writes all of it; an EPIPE is CANCELLED, reason OUTPUT_CLOSED. */
bool write_fully(int fd, struct bytes data, const char *name, struct error *error);

#endif
