/* Holds bytes against the example dumps in docs/formats: a dump is a fenced block that comes
 * after a line `<!-- dump: NAME -->`. Whoever changes a format has to change its page. */
#ifndef WAYBILL_TESTS_GOLDEN_H
#define WAYBILL_TESTS_GOLDEN_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/bytes.h"

enum { GOLDEN_LINE_BYTES = 16 };

/* The text between the fences; the caller frees it. `file` is __FILE__ of the test. */
static inline char *golden_block(const char *file, const char *page, const char *name) {
    char path[1024];
    char marker[128];
    static char text[65536];
    const char *inside = strstr(file, "tests/unit/");
    cr_assert_not_null(inside, "%s", file);
    snprintf(path, sizeof path, "%.*sdocs/formats/%s", (int)(inside - file), file, page);
    FILE *stream = fopen(path, "r");
    cr_assert_not_null(stream, "%s", path);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    snprintf(marker, sizeof marker, "<!-- dump: %s -->", name);
    char *begin = strstr(text, marker);
    cr_assert_not_null(begin, "%s has no %s", path, marker);
    begin = strchr(strstr(begin, "```"), '\n') + 1;
    return strndup(begin, (size_t)(strstr(begin, "```") - begin));
}

/* Offset and bytes, sixteen to a line; lines that are the same as the one before are a `*`. */
static inline void golden_dump(struct bytes data, struct buffer *out) {
    bool starred = false;
    for (size_t line = 0; line < data.size; line += GOLDEN_LINE_BYTES) {
        size_t count = data.size - line < GOLDEN_LINE_BYTES ? data.size - line : GOLDEN_LINE_BYTES;
        if (line > 0 && count == GOLDEN_LINE_BYTES &&
            memcmp(data.data + line, data.data + line - GOLDEN_LINE_BYTES, count) == 0) {
            buffer_append(out, "*\n", starred ? 0 : 2);
            starred = true;
            continue;
        }
        starred = false;
        char text[16];
        buffer_append(out, text, (size_t)snprintf(text, sizeof text, "%04zx ", line));
        for (size_t i = 0; i < count; i++) {
            buffer_append(out, text, (size_t)snprintf(text, sizeof text, " %02x", data.data[line + i]));
        }
        buffer_append_u8(out, '\n');
    }
}

static inline void golden_check(const char *file, const char *page, const char *name, struct bytes data) {
    struct buffer dump = {0};
    golden_dump(data, &dump);
    buffer_append_u8(&dump, 0);
    char *want = golden_block(file, page, name);
    cr_assert_str_eq((const char *)dump.data, want, "dump %s in %s should be:\n%s", name, page, (char *)dump.data);
    free(want);
    buffer_free(&dump);
}

#endif
