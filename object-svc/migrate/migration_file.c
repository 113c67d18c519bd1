#include "object-svc/migrate/migration_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/failpoint.h"

enum { FORMAT = 1, PATH_BYTES = 4300 };

static const char *const phase_names[] = {
    [MIGRATION_NONE] = "none",         [MIGRATION_COPYING] = "copying",   [MIGRATION_COPIED] = "copied",
    [MIGRATION_SWITCHED] = "switched", [MIGRATION_FINISHED] = "finished", [MIGRATION_RETURNING] = "returning",
};

static bool corrupt(struct error *error, const char *path) {
    return error_set(error, ERROR_DATA_LOSS, "MIGRATION_FILE_CORRUPT",
                     "%s cannot be understood; it says where objects are being moved to", path);
}

static bool take_phase(const char *name, enum migration_phase *phase) {
    for (int i = MIGRATION_COPYING; i <= MIGRATION_RETURNING; i++) {
        if (strcmp(name, phase_names[i]) == 0) {
            *phase = (enum migration_phase)i;
            return true;
        }
    }
    return false;
}

static bool take_memo(json_t *root, struct migration_memo *memo) {
    int format;
    const char *id;
    const char *phase;
    const char *target;
    int join_only;
    json_int_t start_us;
    if (json_unpack(root, "{s:i, s:s, s:s, s:s, s:b, s:I}", "format", &format, "id", &id, "phase", &phase, "target",
                    &target, "join_only", &join_only, "start_unix_us", &start_us) != 0 ||
        format != FORMAT || strlen(target) > COLD_TARGET_MAX_BYTES || !uuid_parse_text(id, &memo->id) ||
        !take_phase(phase, &memo->phase)) {
        return false;
    }
    memcpy(memo->target, target, strlen(target) + 1);
    memo->join_only = join_only != 0;
    memo->start_us = start_us;
    return true;
}

bool migration_file_read(const char *path, struct migration_memo *memo, struct error *error) {
    *memo = (struct migration_memo){0};
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    json_error_t ignored;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &ignored);
    bool good = root != NULL && take_memo(root, memo);
    json_decref(root);
    return good || corrupt(error, path);
}

/* ---- writing ---- */

static bool flush_directory_of(const char *path, struct error *error) {
    char copy[PATH_BYTES];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (!good) {
        error_set_errno(error, errno, "flushing the directory of %s", path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool write_durably(const char *path, const char *text, struct error *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t size = strlen(text);
    bool good = fd >= 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    if (!good) {
        error_set_errno(error, errno, "writing %s", path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static char *print_memo(const struct migration_memo *memo) {
    char id[UUID_TEXT_BYTES];
    uuid_print(&memo->id, id);
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:I}", "format", FORMAT, "id", id, "phase", phase_names[memo->phase],
                  "target", memo->target, "join_only", memo->join_only, "start_unix_us", (json_int_t)memo->start_us);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text == NULL) {
        abort();
    }
    json_decref(root);
    return text;
}

bool migration_file_write(const char *path, const struct migration_memo *memo, struct error *error) {
    char aside[PATH_BYTES];
    snprintf(aside, sizeof aside, "%s.new", path);
    char *text = print_memo(memo);
    bool good =
        FAILPOINT("migration.memo.before") && write_durably(aside, text, error) && FAILPOINT("migration.memo.written");
    free(text);
    if (good && rename(aside, path) != 0) {
        good = error_set_errno(error, errno, "renaming %s", aside);
    }
    return good && flush_directory_of(path, error) && FAILPOINT("migration.memo.after");
}

bool migration_file_remove(const char *path, struct error *error) {
    FAILPOINT("migration.forget.before");
    if (unlink(path) != 0 && errno != ENOENT) {
        return error_set_errno(error, errno, "removing %s", path);
    }
    return flush_directory_of(path, error) && FAILPOINT("migration.forget.after");
}
