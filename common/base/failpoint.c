/* All failpoints of the program lie, as pointers, in one section between two symbols that the
 * linker makes. Besides the log's level this is the only state that is not handed from room to room: it
 * is written once, before threads start, but for the passes that are left. */
#include "common/base/failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/log.h"

enum { NAME_MAX_BYTES = 64, COUNT_MAX_DIGITS = 6, NAMES_MAX = 512 };

/* Weak: a program may have none. */
extern struct failpoint *__start_waybill_failpoints[] __attribute__((weak));
extern struct failpoint *__stop_waybill_failpoints[] __attribute__((weak));

static atomic_long passes_left;

/* ---- names ---- */

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. */
static size_t all_names(const char *names[NAMES_MAX]) {
    size_t count = 0;
    for (struct failpoint **at = __start_waybill_failpoints; at != __stop_waybill_failpoints; at++) {
        if (count == NAMES_MAX) {
            abort();
        }
        names[count++] = (*at)->name;
    }
    qsort(names, count, sizeof *names, compare);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) {
            names[kept++] = names[i];
        }
    }
    return kept;
}

int failpoint_list(void) {
    const char *names[NAMES_MAX];
    size_t count = all_names(names);
    for (size_t i = 0; i < count; i++) {
        puts(names[i]);
    }
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the setting ---- */

static bool is_setting(const char *text) {
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.");
    if (*text == '\0') {
        return true;
    }
    if (name == 0 || name > NAME_MAX_BYTES || text[name] == '\0') {
        return name > 0 && name <= NAME_MAX_BYTES;
    }
    const char *count = text + name + 1;
    size_t digits = strspn(count, "0123456789");
    return text[name] == ':' && digits > 0 && digits <= COUNT_MAX_DIGITS && count[digits] == '\0' && *count != '0';
}

const struct config_format failpoint_format = {"NAME or NAME:COUNT, a name that --list-failpoints prints, or empty",
                                               is_setting};

static void tell_unknown(const char *setting) {
    const char *names[NAMES_MAX];
    size_t count = all_names(names);
    struct buffer known = {0};
    for (size_t i = 0; i < count; i++) {
        buffer_append(&known, " ", i > 0 ? 1 : 0);
        buffer_append(&known, names[i], strlen(names[i]));
    }
    buffer_append_u8(&known, '\0');
    log_error("unknown_failpoint", LOG_STR("failpoint", setting), LOG_STR("known", (const char *)known.data),
              LOG_STR("hint", "take the setting away, or name one that is known"));
    buffer_free(&known);
}

bool failpoint_arm(const char *setting) {
    char name[NAME_MAX_BYTES + 1] = "";
    size_t length = strcspn(setting, ":");
    bool any = false;
    if (length == 0) {
        return true;
    }
    memcpy(name, setting, length < sizeof name ? length : sizeof name - 1);
    for (struct failpoint **at = __start_waybill_failpoints; at != __stop_waybill_failpoints; at++) {
        (*at)->armed = strcmp((*at)->name, name) == 0;
        any = any || (*at)->armed;
    }
    if (!any) {
        tell_unknown(setting);
        return false;
    }
    long count = setting[length] == ':' ? strtol(setting + length + 1, NULL, 10) : 1;
    atomic_store(&passes_left, count);
    log_error("failpoint_armed", LOG_STR("failpoint", name), LOG_INT("pass", count),
              LOG_STR("hint", "this process will end itself there; if it is no test, take the setting away"));
    return true;
}

/* ---- the end ---- */

void failpoint_pass(const struct failpoint *failpoint) {
    if (atomic_fetch_sub(&passes_left, 1) != 1) {
        return;
    }
    log_error("failpoint_reached", LOG_STR("failpoint", failpoint->name));
    kill(getpid(), SIGKILL);
    _exit(128 + SIGKILL); /* the first process of a container takes no such signal from itself */
}
