/* Writing an object: its bytes go to a temporary file; at the end they are made durable, then
 * the sidecar, and then both get their names, the bytes last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/failpoint.h"
#include "object-svc/cold/cold_directory_parts.h"
#include "object-svc/hot/block_sums.h"

enum {
    WRITE_BACK_BYTES = 2 * 1024 * 1024, /* handed to the disk as soon as that many wait */
    PUBLISH_ATTEMPTS = 8,               /* against removals that clear directories away */
};

struct directory_writer {
    struct cold_writer base;
    struct cold_directory *store;
    struct arena arena; /* what the provenance borrows */
    struct provenance provenance;
    char path[COLD_PATH_MAX_BYTES];
    char temporary[COLD_TEMPORARY_PATH_BYTES];
    char temporary_sidecar[COLD_TEMPORARY_PATH_BYTES];
    int file;
    uint64_t handed_over; /* write-back has begun up to here */
    struct block_sums sums;
};

static struct directory_writer *self_of(struct cold_writer *writer) {
    return (struct directory_writer *)writer;
}

/* A version's bytes never change, so another payload under its name is a mistake that must
 * not destroy what is there. */
static bool check_conflict(struct cold_directory *self, const struct provenance *provenance, struct error *error) {
    struct cold_name name = cold_object_name(provenance);
    struct cold_sidecar there;
    struct arena arena;
    struct error ignored;
    arena_init(&arena);
    bool fine = !cold_directory_load_sidecar(self, &name, &arena, &there, &ignored) ||
                cold_object_check_conflict(&there.provenance, provenance, error);
    arena_free(&arena);
    return fine;
}

static int create_temporary(struct cold_directory *store, const char *path, struct error *error) {
    int file = openat(store->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, COLD_FILE_MODE);
    if (file < 0) {
        error_set_errno(error, errno, "making the cold store's %s", path);
    }
    return file;
}

struct cold_writer *cold_directory_begin(struct cold_store *base, const struct provenance *provenance,
                                         struct error *error) {
    struct cold_directory *store = cold_directory_of(base);
    struct cold_name name = cold_object_name(provenance);
    char path[COLD_PATH_MAX_BYTES];
    if (!cold_directory_check_writable(store, error) || !cold_object_path(&name, path, error) ||
        !check_conflict(store, provenance, error)) {
        return NULL;
    }
    struct directory_writer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = base->ops;
    self->store = store;
    memcpy(self->path, path, sizeof self->path);
    struct uuid unique = uuid_make();
    char id[UUID_TEXT_BYTES];
    uuid_print(&unique, id);
    snprintf(self->temporary, sizeof self->temporary, "%s/%s", store->temporary, id);
    snprintf(self->temporary_sidecar, sizeof self->temporary_sidecar, "%s/%s.json", store->temporary, id);
    self->file = create_temporary(store, self->temporary, error);
    if (self->file < 0) {
        free(self);
        return NULL;
    }
    arena_init(&self->arena);
    self->provenance = cold_object_copy(provenance, store->clock, &self->arena);
    block_sums_start(&self->sums, provenance->size_bytes, cold_sidecar_block_bytes(provenance->size_bytes));
    return &self->base;
}

static void free_writer(struct directory_writer *self) {
    if (self->file >= 0) {
        close(self->file);
    }
    /* Both may have got their names by now, or never have been made. */
    unlinkat(self->store->root, self->temporary, 0);
    unlinkat(self->store->root, self->temporary_sidecar, 0);
    block_sums_free(&self->sums);
    arena_free(&self->arena);
    free(self);
}

static bool write_all(int file, struct bytes data, const char *path, struct error *error) {
    while (data.size > 0) {
        ssize_t written = write(file, data.data, data.size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return error_set_errno(error, errno, "writing the cold store's %s", path);
        }
        data = bytes_of(data.data + written, data.size - (size_t)written);
    }
    return true;
}

/* Keeps what waits in memory below two windows: begins to write the newest back, and waits for
 * the one before. File systems that cannot do that are left to their own limits. */
static bool bound_dirty(struct directory_writer *self, struct error *error) {
    while (self->sums.size - self->handed_over >= WRITE_BACK_BYTES) {
        off_t from = (off_t)self->handed_over;
        bool ok = sync_file_range(self->file, from, WRITE_BACK_BYTES, SYNC_FILE_RANGE_WRITE) == 0;
        if (ok && from >= WRITE_BACK_BYTES) {
            ok = sync_file_range(self->file, from - WRITE_BACK_BYTES, WRITE_BACK_BYTES,
                                 SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0;
        }
        if (!ok && errno != ENOSYS && errno != EINVAL && errno != ESPIPE && errno != EOPNOTSUPP) {
            return cold_directory_flush_failed(self->store, self->temporary, error);
        }
        self->handed_over += WRITE_BACK_BYTES;
    }
    return true;
}

bool cold_directory_append(struct cold_writer *writer, struct bytes data, struct error *error) {
    struct directory_writer *self = self_of(writer);
    if (!cold_directory_check_writable(self->store, error) ||
        !cold_object_check_room(&self->provenance, &self->sums, data.size, error)) {
        return false;
    }
    if (!write_all(self->file, data, self->temporary, error)) {
        return false;
    }
    block_sums_add(&self->sums, data);
    return bound_dirty(self, error);
}

static bool sync_bytes(struct directory_writer *self, struct error *error) {
    bool ok = cold_directory_sync(self->store, self->file, self->temporary, error);
    int file = self->file;
    self->file = -1;
    return (close(file) == 0 || error_set_errno(error, errno, "closing the cold store's %s", self->temporary)) && ok;
}

static bool write_sidecar(struct directory_writer *self, struct error *error) {
    struct cold_sidecar sidecar = {.provenance = self->provenance,
                                   .block_bytes = self->sums.block_bytes,
                                   .block_sums = block_sums_end(&self->sums)};
    struct buffer text = {0};
    int file = -1;
    bool ok = cold_sidecar_encode(&sidecar, &text, error);
    if (ok) {
        file = create_temporary(self->store, self->temporary_sidecar, error);
        ok = file >= 0 && write_all(file, buffer_bytes(&text), self->temporary_sidecar, error) &&
             cold_directory_sync(self->store, file, self->temporary_sidecar, error);
    }
    if (file >= 0 && close(file) != 0 && ok) {
        ok = error_set_errno(error, errno, "closing the cold store's %s", self->temporary_sidecar);
    }
    buffer_free(&text);
    return ok;
}

/* A directory and what is missing above it; most often that is nothing. */
static bool make_directory(struct cold_directory *store, char *path, struct error *error) {
    if (mkdirat(store->root, path, COLD_DIRECTORY_MODE) == 0 || errno == EEXIST) {
        return true;
    }
    char *slash = strrchr(path, '/');
    if (errno == ENOENT && slash != NULL) {
        *slash = '\0';
        bool ok = make_directory(store, path, error);
        *slash = '/';
        /* ENOENT: a removal took one away again; the caller tries anew. */
        if (!ok || mkdirat(store->root, path, COLD_DIRECTORY_MODE) == 0 || errno == EEXIST || errno == ENOENT) {
            return ok;
        }
    }
    return error_set_errno(error, errno, "making the cold store's directory %s", path);
}

/* All directories above the object. */
static bool make_parents(struct directory_writer *self, struct error *error) {
    char path[COLD_PATH_MAX_BYTES];
    memcpy(path, self->path, sizeof path);
    *strrchr(path, '/') = '\0';
    return make_directory(self->store, path, error);
}

/* Gives a file its name; `gone` says that a directory on the way is missing. */
static bool publish(struct directory_writer *self, const char *from, const char *to, bool *gone, struct error *error) {
    if (renameat(self->store->root, from, self->store->root, to) == 0) {
        return true;
    }
    /* A removal cleared an empty directory away. */
    *gone = errno == ENOENT;
    return error_set_errno(error, errno, "naming the cold store's %s", to);
}

static bool publish_both(struct directory_writer *self, struct error *error) {
    char sidecar[COLD_SIDECAR_PATH_BYTES];
    cold_sidecar_path(self->path, sidecar);
    bool named = false;
    for (int attempt = 0; attempt < PUBLISH_ATTEMPTS; attempt++) {
        bool gone = false;
        if (!make_parents(self, error)) {
            return false;
        }
        named = named || publish(self, self->temporary_sidecar, sidecar, &gone, error);
        if (named && FAILPOINT("cold_directory.publish.sidecar_only") &&
            publish(self, self->temporary, self->path, &gone, error)) {
            return cold_directory_sync_parents(self->store, self->path, error);
        }
        if (!gone || named) {
            return false;
        }
    }
    return false;
}

bool cold_directory_finish(struct cold_writer *writer, struct error *error) {
    struct directory_writer *self = self_of(writer);
    bool ok = cold_object_check_payload(&self->provenance, &self->sums, error) &&
              FAILPOINT("cold_directory.flush.before") && sync_bytes(self, error) &&
              FAILPOINT("cold_directory.flush.after") && write_sidecar(self, error) &&
              FAILPOINT("cold_directory.publish.before") && publish_both(self, error) &&
              FAILPOINT("cold_directory.publish.after");
    free_writer(self);
    return ok;
}

void cold_directory_abort(struct cold_writer *writer) {
    free_writer(self_of(writer));
}
