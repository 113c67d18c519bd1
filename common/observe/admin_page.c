#include "common/observe/admin_page.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void append(struct buffer *out, const char *text) {
    buffer_append(out, text, strlen(text));
}

static bool run(const struct admin_check *check, struct error *error) {
    *error = (struct error){0};
    return check->holds(check->self, error);
}

/* The list is read line by line, so a message must stay on its own. */
static void append_line(struct buffer *out, const char *text) {
    for (; *text != '\0'; text++) {
        buffer_append_u8(out, (unsigned char)*text < 0x20 ? ' ' : (uint8_t)*text);
    }
}

bool admin_page_checks(const struct admin_check *checks, size_t count, struct buffer *out) {
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        struct error error;
        bool holds = run(&checks[i], &error);
        all = all && holds;
        append(out, holds ? "ok " : "fail ");
        append(out, checks[i].name);
        if (!holds) {
            append(out, ": ");
            append_line(out, error.message[0] != '\0' ? error.message : "no reason given");
        }
        append(out, "\n");
    }
    return all;
}

static void append_html(struct buffer *out, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        switch (text[i]) {
        case '&':
            append(out, "&amp;");
            break;
        case '<':
            append(out, "&lt;");
            break;
        case '>':
            append(out, "&gt;");
            break;
        case '"':
            append(out, "&quot;");
            break;
        default:
            buffer_append(out, text + i, 1);
        }
    }
}

static void append_html_text(struct buffer *out, const char *text) {
    append_html(out, text, strlen(text));
}

static void append_check_rows(struct buffer *out, const char *probe, const struct admin_check *checks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct error error;
        bool holds = run(&checks[i], &error);
        append(out, "<tr><td>");
        append(out, probe);
        append(out, "</td><td>");
        append_html_text(out, checks[i].name);
        append(out, holds ? "</td><td class=ok>ok</td><td>" : "</td><td class=fail>fail</td><td>");
        append_html_text(out, error.message);
        append(out, "</td></tr>\n");
    }
}

/* A sample of a histogram's bucket: of use to a scraper, not to the eye. */
static bool is_bucket(const char *line, size_t size) {
    size_t name = 0;
    while (name < size && line[name] != '{' && line[name] != ' ') {
        name++;
    }
    return name > 7 && memcmp(line + name - 7, "_bucket", 7) == 0;
}

/* One row for each sample but the buckets; the value is behind the last space. */
static void append_metric_rows(struct buffer *out, struct bytes text) {
    const char *next = (const char *)text.data;
    const char *end = next + text.size;
    while (next < end) {
        const char *newline = memchr(next, '\n', (size_t)(end - next));
        size_t size = (size_t)((newline != NULL ? newline : end) - next);
        const char *space = size > 0 ? memrchr(next, ' ', size) : NULL;
        if (space != NULL && *next != '#' && !is_bucket(next, size)) {
            append(out, "<tr><td>");
            append_html(out, next, (size_t)(space - next));
            append(out, "</td><td class=n>");
            append_html(out, space + 1, (size_t)(next + size - space - 1));
            append(out, "</td></tr>\n");
        }
        next += size + 1;
    }
}

static const char head[] =
    "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border:1px solid #ccc;padding:2px 8px;text-align:left}.ok{background:#cfc}.fail{background:#fcc}"
    ".n{text-align:right}</style>\n";

void admin_page_status(const struct admin_http_options *options, struct buffer *out) {
    append(out, "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>");
    append_html_text(out, options->service);
    append(out, "</title>\n");
    append(out, head);
    append(out, "<h1>");
    append_html_text(out, options->service);
    append(out, "</h1>\n");
    char line[128];
    snprintf(line, sizeof line, "<p>Version %s, process %ld.", WAYBILL_VERSION, (long)getpid());
    append(out, line);
    append(out, " As text: <a href=/metrics>metrics</a>, <a href=/livez>livez</a>, <a href=/readyz>readyz</a>.</p>\n");
    append(out, "<table><tr><th>probe</th><th>check</th><th>state</th><th>why</th></tr>\n");
    append_check_rows(out, "live", options->live, options->live_count);
    append_check_rows(out, "ready", options->ready, options->ready_count);
    append(out, "</table>\n<table><tr><th>figure</th><th>value</th></tr>\n");
    if (options->write_metrics != NULL) {
        struct buffer text = {0};
        options->write_metrics(options->metrics_self, &text);
        append_metric_rows(out, buffer_bytes(&text));
        buffer_free(&text);
    }
    append(out, "</table></html>\n");
}
