/* What the parts of the directory backend share; for cold_directory*.c only. */
#ifndef WAYBILL_COLD_COLD_DIRECTORY_PARTS_H
#define WAYBILL_COLD_COLD_DIRECTORY_PARTS_H

#include <stdatomic.h>

#include "object-svc/cold/cold_directory.h"
#include "object-svc/cold/cold_object.h"
#include "object-svc/cold/cold_sidecar.h"
#include "object-svc/cold/durable_directories.h"

enum {
    COLD_FILE_MODE = 0640,
    COLD_DIRECTORY_MODE = 0750,
    COLD_TEMPORARY_PATH_BYTES = 320,
};

struct cold_directory {
    struct cold_store base;
    int root; /* all paths are relative to it */
    const struct clock *clock;
    char temporary[256]; /* ".tmp/<replica>" */
    struct durable_directories durable;
    atomic_bool read_only; /* after a flush that failed */
};

static inline struct cold_directory *cold_directory_of(struct cold_store *store) {
    return (struct cold_directory *)store;
}

/* Reads the object's sidecar into the arena; NOT_FOUND and DATA_LOSS as in cold_object.h. */
bool cold_directory_load_sidecar(struct cold_directory *self, const struct cold_name *name, struct arena *arena,
                                 struct cold_sidecar *sidecar, struct error *error);

/* cold_directory_sync.c */
/* False after a flush that failed: UNAVAILABLE, COLD_STORE_READ_ONLY. */
bool cold_directory_check_writable(struct cold_directory *self, struct error *error);
/* Makes a file or directory durable, unless the store is read-only; a failure makes it so. */
bool cold_directory_sync(struct cold_directory *self, int fd, const char *path, struct error *error);
/* The same for a directory, by its path. */
bool cold_directory_sync_one(struct cold_directory *self, const char *path, struct error *error);
/* A flush of that path failed otherwise, with errno; the store is read-only now. Returns false. */
bool cold_directory_flush_failed(struct cold_directory *self, const char *path, struct error *error);
/* Makes the name `path` durable, which was given just now: syncs the directory that holds it, and those
 * above that one up to the first that is known to be durable, or the root. While the file is there, none
 * of them can be removed. */
bool cold_directory_sync_parents(struct cold_directory *self, const char *path, struct error *error);

/* cold_directory_write.c */
struct cold_writer *cold_directory_begin(struct cold_store *store, const struct provenance *provenance,
                                         struct error *error);
bool cold_directory_append(struct cold_writer *writer, struct bytes data, struct error *error);
bool cold_directory_finish(struct cold_writer *writer, struct error *error);
void cold_directory_abort(struct cold_writer *writer);

/* cold_directory_read.c */
struct cold_reader *cold_directory_open_object(struct cold_store *store, const struct cold_name *name,
                                               struct error *error);
const struct provenance *cold_directory_reader_provenance(const struct cold_reader *reader);
int64_t cold_directory_read(struct cold_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void cold_directory_close_reader(struct cold_reader *reader);
bool cold_directory_verify(struct cold_store *store, const struct provenance *expected, struct error *error);

/* cold_directory_list.c */
bool cold_directory_list(struct cold_store *store, const char *bucket, const char *key_prefix,
                         cold_entry_visitor *visit, void *context, struct error *error);

#endif
