#include "cli/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/output.h"
#include "common/base/clock.h"

enum {
    SHOW_EVERY_US = 100000,
    DEFAULT_WIDTH = 80,
    LABEL_MAX = 30,
    BAR_MIN = 5,
    BAR_MAX = 40,
};

static void advance(void *self, int64_t done, int64_t total) {
    progress_advance(self, done, total);
}

void progress_begin(struct progress *progress, struct cli *cli, const char *label) {
    FILE *err = cli->streams.err;
    bool shows = !cli->quiet && !cli->json && fileno(err) >= 0 && isatty(fileno(err));
    *progress = (struct progress){
        .callback = {advance, progress},
        .out = shows ? err : NULL,
        .label = label,
        .start_us = clock_monotonic_us(&system_clock),
    };
}

static void print_left(char *text, size_t room, int64_t left, double rate) {
    double seconds = rate > 0 ? (double)left / rate : -1;
    if (seconds < 0 || seconds > 99 * 3600) {
        snprintf(text, room, "ETA --:--");
        return;
    }
    int64_t whole = (int64_t)(seconds + 0.5);
    if (whole >= 3600) {
        snprintf(text, room, "ETA %d:%02d:%02d", (int)(whole / 3600), (int)(whole / 60 % 60), (int)(whole % 60));
    } else {
        snprintf(text, room, "ETA %d:%02d", (int)(whole / 60), (int)(whole % 60));
    }
}

/* "[=====>    ]" */
static void print_bar(char *text, int cells, int64_t done, int64_t total) {
    int full = total > 0 ? (int)((double)done / (double)total * cells) : cells;
    char *at = text;
    *at++ = '[';
    for (int i = 0; i < cells; i++) {
        *at++ = i < full ? '=' : i == full ? '>' : ' ';
    }
    *at++ = ']';
    *at = '\0';
}

void progress_print(char line[PROGRESS_LINE_BYTES], int width, const char *label, int64_t done, int64_t total,
                    int64_t first, int64_t elapsed_us) {
    char done_text[OUTPUT_TEXT_BYTES];
    char total_text[OUTPUT_TEXT_BYTES];
    char rate_text[OUTPUT_TEXT_BYTES];
    char left_text[32];
    char figures[4 * OUTPUT_TEXT_BYTES];
    double rate = elapsed_us > 0 ? (double)(done - first) * 1e6 / (double)elapsed_us : 0;
    output_bytes(done, done_text);
    output_bytes((int64_t)rate, rate_text);
    width = width < PROGRESS_LINE_BYTES ? width : PROGRESS_LINE_BYTES - 1;
    if (total < 0) {
        snprintf(figures, sizeof figures, "%s  %s/s", done_text, rate_text);
        snprintf(line, (size_t)width + 1, "%.*s  %s", LABEL_MAX, label, figures);
        return;
    }
    int percent = total > 0 ? (int)((double)done * 100 / (double)total) : 100;
    print_left(left_text, sizeof left_text, total - done, rate);
    output_bytes(total, total_text);
    snprintf(figures, sizeof figures, "%s / %s  %s/s  %s", done_text, total_text, rate_text, left_text);
    int label_width = (int)strlen(label) < LABEL_MAX ? (int)strlen(label) : LABEL_MAX;
    int cells = width - label_width - (int)strlen(figures) - 11;
    char bar[BAR_MAX + 3] = "";
    if (cells >= BAR_MIN) {
        print_bar(bar, cells < BAR_MAX ? cells : BAR_MAX, done, total);
    }
    snprintf(line, (size_t)width + 1, "%.*s %3d%% %s %s", LABEL_MAX, label, percent, bar, figures);
}

static int terminal_width(FILE *out) {
    struct winsize size;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : DEFAULT_WIDTH - 1;
}

void progress_advance(struct progress *progress, int64_t done, int64_t total) {
    if (progress->out == NULL) {
        return;
    }
    int64_t now_us = clock_monotonic_us(&system_clock);
    if (!progress->begun) {
        progress->begun = true;
        progress->first = done;
        progress->start_us = now_us;
    }
    if (done < progress->first) {
        progress->first = done; /* it began again */
    }
    if (progress->shown && now_us - progress->shown_us < SHOW_EVERY_US && done != total) {
        return;
    }
    char line[PROGRESS_LINE_BYTES];
    progress_print(line, terminal_width(progress->out), progress->label, done, total, progress->first,
                   now_us - progress->start_us);
    fprintf(progress->out, "\r\033[K%s", line);
    fflush(progress->out);
    progress->shown = true;
    progress->shown_us = now_us;
}

void progress_end(struct progress *progress) {
    if (progress->shown) {
        fputs("\r\033[K", progress->out);
        fflush(progress->out);
        progress->shown = false;
    }
}
