/* A bar on standard error that shows how far bytes are: only on a terminal, and not with
 * --quiet or --json. */
#ifndef WAYBILL_CLI_PROGRESS_H
#define WAYBILL_CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
    struct waybill_progress callback; /* for the client library */
    FILE *out;                        /* NULL: shows nothing */
    const char *label;
    int64_t start_us, shown_us;
    int64_t first; /* what was done when it began, so that the rate is true after a resume */
    bool begun;
    bool shown;
};

/* `label` is borrowed. The struct must not move afterwards. */
void progress_begin(struct progress *progress, struct cli *cli, const char *label);
void progress_advance(struct progress *progress, int64_t done, int64_t total);
/* Takes the bar away. */
void progress_end(struct progress *progress);

/* One line of at most `width` columns, without line end. `elapsed_us` since it began. */
enum { PROGRESS_LINE_BYTES = 256 };
void progress_print(char line[PROGRESS_LINE_BYTES], int width, const char *label, int64_t done, int64_t total,
                    int64_t first, int64_t elapsed_us);

#endif
