#include "metadata-svc/store/table_write_back.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/disk.h"
#include "common/base/log.h"
#include "common/base/write_back.h"
#include "metadata-svc/store/directory_watch.h"
#include "metadata-svc/store/log_tail.h"

enum {
    LOOK_MS = 1,
    /* LevelDB writes one table of a merge, and beside it the one of a full memory table. */
    MAX_TABLES = 4,
    NAME_BYTES = 32,
};

struct table {
    char name[NAME_BYTES];
    struct disk_file *file; /* NULL: the place is free */
    struct write_back write_back;
};

struct table_write_back {
    struct disk *disk;
    struct directory_watch watch; /* tables that begin and end; is woken at the end */
    atomic_bool stopping;
    atomic_uint_least64_t bytes;
    pthread_t thread;

    struct table tables[MAX_TABLES]; /* the thread's */
    unsigned growing;
};

/* ---- tables ---- */

static bool is_table(const char *name) {
    uint64_t number;
    return strlen(name) < NAME_BYTES && numbered_name_parse(name, ".ldb", &number);
}

static struct table *table_named(struct table_write_back *tables, const char *name) {
    for (unsigned i = 0; i < MAX_TABLES; i++) {
        if (tables->tables[i].file != NULL && strcmp(tables->tables[i].name, name) == 0) {
            return &tables->tables[i];
        }
    }
    return NULL;
}

static void end_table(struct table_write_back *tables, struct table *table) {
    table->file->ops->close(table->file);
    table->file = NULL;
    tables->growing--;
}

static void begin_table(struct table_write_back *tables, const char *name) {
    struct error ignored;
    for (unsigned i = 0; i < MAX_TABLES; i++) {
        struct table *table = &tables->tables[i];
        if (table->file == NULL) {
            table->file = tables->disk->ops->open(tables->disk, name, false, &ignored);
            if (table->file != NULL) { /* else it is gone already */
                snprintf(table->name, sizeof table->name, "%s", name);
                table->write_back = write_back_from(0);
                tables->growing++;
            }
            return;
        }
    }
}

/* LevelDB's own flush meets the same error and reports it; here it only ends the help. */
static void advance(struct table_write_back *tables, struct table *table) {
    struct error error;
    uint64_t size = 0;
    uint64_t begun = table->write_back.begun;
    if (!table->file->ops->size(table->file, &size, &error) ||
        !write_back_advance(&table->write_back, table->file, size, &error)) {
        log_warn("table_write_back_ended", LOG_STR("table", table->name), LOG_ERROR(&error));
        end_table(tables, table);
        return;
    }
    atomic_fetch_add(&tables->bytes, table->write_back.begun - begun);
}

/* ---- the thread ---- */

static void take_change(void *context, const char *name, uint32_t mask) {
    struct table_write_back *tables = context;
    if (!is_table(name)) {
        return;
    }
    struct table *known = table_named(tables, name);
    if (known != NULL) {
        end_table(tables, known);
    }
    if ((mask & IN_CREATE) != 0) {
        begin_table(tables, name);
    }
}

static void *table_write_back_loop(void *argument) {
    struct table_write_back *tables = argument;
    while (!atomic_load(&tables->stopping)) {
        directory_watch_wait(&tables->watch, tables->growing > 0 ? LOOK_MS : -1, take_change, tables);
        for (unsigned i = 0; i < MAX_TABLES; i++) {
            if (tables->tables[i].file != NULL) {
                advance(tables, &tables->tables[i]);
            }
        }
    }
    return NULL;
}

/* ---- life ---- */

static void free_parts(struct table_write_back *tables) {
    for (unsigned i = 0; i < MAX_TABLES; i++) {
        if (tables->tables[i].file != NULL) {
            end_table(tables, &tables->tables[i]);
        }
    }
    directory_watch_close(&tables->watch);
    if (tables->disk != NULL) {
        tables->disk->ops->free(tables->disk);
    }
    free(tables);
}

static bool open_parts(struct table_write_back *tables, const char *directory, struct error *error) {
    tables->watch = (struct directory_watch){-1, -1};
    tables->disk = posix_disk_new(directory, error);
    return tables->disk != NULL && directory_watch_open(&tables->watch, directory, IN_CREATE | IN_CLOSE_WRITE, error);
}

struct table_write_back *table_write_back_start(const char *directory) {
    struct error error = {0};
    struct table_write_back *tables = calloc(1, sizeof *tables);
    if (tables == NULL) {
        abort();
    }
    if (!open_parts(tables, directory, &error)) {
        log_warn("table_write_back_missing", LOG_ERROR(&error),
                 LOG_STR("hint", "commits beside merges of tables take longer than they could"));
        free_parts(tables);
        return NULL;
    }
    if (pthread_create(&tables->thread, NULL, table_write_back_loop, tables) != 0) {
        abort();
    }
    pthread_setname_np(tables->thread, "table-writer");
    return tables;
}

void table_write_back_stop(struct table_write_back *tables) {
    if (tables == NULL) {
        return;
    }
    atomic_store(&tables->stopping, true);
    directory_watch_wake(&tables->watch);
    pthread_join(tables->thread, NULL);
    free_parts(tables);
}

uint64_t table_write_back_bytes(struct table_write_back *tables) {
    return atomic_load(&tables->bytes);
}
