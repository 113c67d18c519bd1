/* What a replica remembers of its migration over a restart: a small JSON file, written whole or not
 * at all. docs/formats/migration.md describes it. */
#ifndef WAYBILL_MIGRATE_MIGRATION_FILE_H
#define WAYBILL_MIGRATE_MIGRATION_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/uuid.h"
#include "object-svc/migrate/cold_target.h"

/* Numbers are those of proto/waybill/v1. */
enum migration_phase {
    MIGRATION_NONE = 0,
    MIGRATION_COPYING = 1,
    MIGRATION_COPIED = 2,
    MIGRATION_SWITCHED = 3,
    MIGRATION_FINISHED = 4,
    MIGRATION_RETURNING = 5, /* of hot volumes: on the way back */
};

struct migration_memo {
    struct uuid id;
    enum migration_phase phase;
    char target[COLD_TARGET_MAX_BYTES + 1]; /* as it was given */
    bool join_only;                         /* another replica copies */
    int64_t start_us;
};

/* MIGRATION_NONE where there is no file; DATA_LOSS, MIGRATION_FILE_CORRUPT where it cannot be
 * understood. */
bool migration_file_read(const char *path, struct migration_memo *memo, struct error *error);
/* Durable on return. */
bool migration_file_write(const char *path, const struct migration_memo *memo, struct error *error);
bool migration_file_remove(const char *path, struct error *error);

#endif
