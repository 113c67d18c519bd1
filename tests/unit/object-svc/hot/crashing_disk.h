/* A disk that fails when told to, and that forgets on a crash what was not synced: of each file
 * the synced bytes stay, and of the 512-byte sectors written since any may have come through;
 * a file whose name was not synced may be gone. */
#ifndef WAYBILL_TESTS_CRASHING_DISK_H
#define WAYBILL_TESTS_CRASHING_DISK_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/disk.h"

enum { CRASHING_FILES = 64, CRASHING_SECTOR_BYTES = 512 };

/* What of one file is sure to survive. */
struct crashing_state {
    char path[64];
    struct buffer synced;
    bool name_synced;
};

struct crashing_disk {
    struct disk base;
    struct disk *inner; /* owned */
    struct crashing_state states[CRASHING_FILES];
    size_t count;
    int writes_left; /* the write after so many fails with ENOSPC; -1: none */
    int syncs_left;  /* likewise, with EIO */
    bool die_at_sync;
    bool dead;      /* the process was killed: nothing that it still does has an effect */
    int steps_left; /* dies before the change after so many; -1: never */
    void (*before_step)(void *self, const char *what, const char *path); /* of each change; NULL: none */
    void *self;
    uint64_t capacity; /* of all files together; 0: that of the machine */
    unsigned looks;    /* how often it was asked for its room */
};

struct crashing_file {
    struct disk_file base;
    struct crashing_disk *disk;
    struct disk_file *inner;
    char path[64];
};

static inline struct crashing_disk *crashing_of(struct disk *disk) {
    return (struct crashing_disk *)disk;
}

static inline struct disk_file *crashing_inner(struct disk_file *file) {
    return ((struct crashing_file *)file)->inner;
}

static inline void crashing_read_all(struct disk_file *file, struct buffer *out) {
    struct error error = {0};
    uint64_t size;
    cr_assert(file->ops->size(file, &size, &error));
    buffer_clear(out);
    buffer_reserve(out, size + 1);
    cr_assert_eq(file->ops->read(file, 0, out->data, size, &error), (int64_t)size);
    out->size = size;
}

static inline struct crashing_state *crashing_find(struct crashing_disk *disk, const char *path) {
    for (size_t i = 0; i < disk->count; i++) {
        if (strcmp(disk->states[i].path, path) == 0) {
            return &disk->states[i];
        }
    }
    return NULL;
}

/* A file that is there before it was ever opened here is durable. */
static inline void crashing_note(struct crashing_disk *disk, const char *path, bool existed, struct disk_file *inner) {
    if (crashing_find(disk, path) != NULL) {
        return;
    }
    cr_assert_lt(disk->count, CRASHING_FILES);
    struct crashing_state *state = &disk->states[disk->count++];
    *state = (struct crashing_state){0};
    snprintf(state->path, sizeof state->path, "%s", path);
    state->name_synced = existed;
    if (existed) {
        crashing_read_all(inner, &state->synced);
    }
}

static inline struct disk_file *crashing_open(struct disk *disk, const char *path, bool create, struct error *error) {
    struct crashing_disk *self = crashing_of(disk);
    struct error missing;
    struct disk_file *inner = self->inner->ops->open(self->inner, path, false, &missing);
    bool existed = inner != NULL;
    if (inner == NULL) {
        inner = self->inner->ops->open(self->inner, path, create, error);
    }
    if (inner == NULL) {
        return NULL;
    }
    struct crashing_file *file = malloc(sizeof *file);
    *file = (struct crashing_file){{disk->ops}, self, inner, {0}};
    snprintf(file->path, sizeof file->path, "%s", path);
    crashing_note(self, path, existed, inner);
    return &file->base;
}

static inline void crashing_close(struct disk_file *file) {
    crashing_inner(file)->ops->close(crashing_inner(file));
    free(file);
}

static inline bool crashing_counts_down(int *left) {
    if (*left == 0) {
        return true;
    }
    *left -= *left > 0;
    return false;
}

/* Each change of the disk is a step; true: the process is dead, and the step is not made. */
static inline bool crashing_step(struct crashing_disk *disk, const char *what, const char *path) {
    if (disk->dead) {
        return true;
    }
    disk->dead = crashing_counts_down(&disk->steps_left);
    if (disk->before_step != NULL) {
        disk->before_step(disk->self, what, path);
    }
    return disk->dead;
}

/* A write that fails has written a part. */
static inline bool crashing_write(struct disk_file *file, uint64_t offset, struct bytes data, struct error *error) {
    struct disk_file *inner = crashing_inner(file);
    if (crashing_step(((struct crashing_file *)file)->disk, "write", ((struct crashing_file *)file)->path)) {
        return true;
    }
    if (crashing_counts_down(&((struct crashing_file *)file)->disk->writes_left)) {
        inner->ops->write(inner, offset, bytes_of(data.data, data.size / 2), error);
        return error_set_errno(error, ENOSPC, "writing");
    }
    return inner->ops->write(inner, offset, data, error);
}

static inline int64_t crashing_read(struct disk_file *file, uint64_t offset, void *out, size_t size,
                                    struct error *error) {
    return crashing_inner(file)->ops->read(crashing_inner(file), offset, out, size, error);
}

static inline bool crashing_sync(struct disk_file *file, struct error *error) {
    struct crashing_file *self = (struct crashing_file *)file;
    self->disk->dead = self->disk->dead || self->disk->die_at_sync;
    if (crashing_step(self->disk, "sync", self->path)) {
        return true;
    }
    if (crashing_counts_down(&self->disk->syncs_left)) {
        return error_set_errno(error, EIO, "syncing");
    }
    struct crashing_state *state = crashing_find(self->disk, self->path);
    cr_assert_not_null(state);
    crashing_read_all(self->inner, &state->synced);
    return true;
}

static inline bool crashing_write_back(struct disk_file *file, uint64_t offset, uint64_t size, enum disk_write_back how,
                                       struct error *error) {
    return crashing_inner(file)->ops->write_back(crashing_inner(file), offset, size, how, error);
}

static inline void crashing_reserve(struct disk_file *file, uint64_t offset, uint64_t size) {
    crashing_inner(file)->ops->reserve(crashing_inner(file), offset, size);
}

static inline bool crashing_allocate(struct disk_file *file, uint64_t offset, uint64_t size, struct error *error) {
    return crashing_inner(file)->ops->allocate(crashing_inner(file), offset, size, error);
}

static inline bool crashing_truncate(struct disk_file *file, uint64_t size, struct error *error) {
    return crashing_step(((struct crashing_file *)file)->disk, "truncate", ((struct crashing_file *)file)->path) ||
           crashing_inner(file)->ops->truncate(crashing_inner(file), size, error);
}

static inline bool crashing_size(struct disk_file *file, uint64_t *size, struct error *error) {
    return crashing_inner(file)->ops->size(crashing_inner(file), size, error);
}

static inline bool crashing_make_directory(struct disk *disk, const char *path, struct error *error) {
    return crashing_of(disk)->inner->ops->make_directory(crashing_of(disk)->inner, path, error);
}

static inline bool crashing_sync_directory(struct disk *disk, const char *path, struct error *error) {
    (void)error;
    struct crashing_disk *self = crashing_of(disk);
    if (crashing_step(self, "sync_directory", path)) {
        return true;
    }
    for (size_t i = 0; i < self->count; i++) {
        self->states[i].name_synced = true;
    }
    return true;
}

static inline bool crashing_rename(struct disk *disk, const char *from, const char *to, struct error *error) {
    return crashing_of(disk)->inner->ops->rename(crashing_of(disk)->inner, from, to, error);
}

static inline bool crashing_unlink(struct disk *disk, const char *path, struct error *error) {
    struct crashing_disk *self = crashing_of(disk);
    struct crashing_state *state = crashing_find(self, path);
    if (crashing_step(self, "unlink", path)) {
        return true;
    }
    if (state != NULL) {
        buffer_free(&state->synced);
        *state = self->states[--self->count];
    }
    return self->inner->ops->unlink(self->inner, path, error);
}

static inline bool crashing_list(struct disk *disk, const char *path, disk_name_visitor *visit, void *context,
                                 struct error *error) {
    return crashing_of(disk)->inner->ops->list(crashing_of(disk)->inner, path, visit, context, error);
}

struct crashing_sum {
    struct crashing_disk *disk;
    uint64_t bytes;
};

static inline bool crashing_add_size(void *context, const char *name) {
    struct crashing_sum *sum = context;
    struct error error;
    uint64_t size = 0;
    struct disk_file *file = sum->disk->inner->ops->open(sum->disk->inner, name, false, &error);
    if (file != NULL) {
        file->ops->size(file, &size, &error);
        file->ops->close(file);
    }
    sum->bytes += size;
    return true;
}

static inline bool crashing_space(struct disk *disk, struct disk_space *space, struct error *error) {
    struct crashing_disk *self = crashing_of(disk);
    self->looks++;
    if (self->capacity == 0) {
        return self->inner->ops->space(self->inner, space, error);
    }
    struct crashing_sum sum = {.disk = self};
    if (!self->inner->ops->list(self->inner, ".", crashing_add_size, &sum, error)) {
        return false;
    }
    *space = (struct disk_space){.free_bytes = sum.bytes < self->capacity ? self->capacity - sum.bytes : 0,
                                 .total_bytes = self->capacity};
    return true;
}

static inline void crashing_free(struct disk *disk) {
    struct crashing_disk *self = crashing_of(disk);
    for (size_t i = 0; i < self->count; i++) {
        buffer_free(&self->states[i].synced);
    }
    self->inner->ops->free(self->inner);
    free(self);
}

static inline struct disk *crashing_disk_new(const char *root) {
    static const struct disk_ops ops = {
        crashing_open,     crashing_close,      crashing_write,          crashing_read,
        crashing_sync,     crashing_write_back, crashing_reserve,        crashing_allocate,
        crashing_truncate, crashing_size,       crashing_make_directory, crashing_sync_directory,
        crashing_rename,   crashing_unlink,     crashing_list,           crashing_space,
        crashing_free};
    struct error error = {0};
    struct crashing_disk *self = calloc(1, sizeof *self);
    self->base.ops = &ops;
    self->writes_left = -1;
    self->syncs_left = -1;
    self->steps_left = -1;
    self->inner = posix_disk_new(root, &error);
    cr_assert_not_null(self->inner, "%s", error.message);
    return &self->base;
}

/* What is on the disk after the crash; each choice comes from the seed. */
static inline void crashing_crash_file(struct crashing_disk *self, struct crashing_state *state, unsigned *seed) {
    struct error error = {0};
    struct buffer now = {0};
    struct disk_file *file = self->inner->ops->open(self->inner, state->path, false, &error);
    cr_assert_not_null(file, "%s", error.message);
    crashing_read_all(file, &now);
    size_t least = state->synced.size < now.size ? state->synced.size : now.size;
    size_t most = state->synced.size < now.size ? now.size : state->synced.size;
    size_t size = least + (size_t)rand_r(seed) % (most - least + 1);
    uint8_t *mixed = calloc(1, size + 1);
    for (size_t at = 0; at < size; at += CRASHING_SECTOR_BYTES) {
        size_t length = size - at < CRASHING_SECTOR_BYTES ? size - at : CRASHING_SECTOR_BYTES;
        const struct buffer *from = rand_r(seed) % 2 ? &now : &state->synced;
        size_t have = at < from->size ? from->size - at : 0;
        if (have > 0) {
            memcpy(mixed + at, from->data + at, have < length ? have : length);
        }
    }
    cr_assert(file->ops->truncate(file, 0, &error));
    cr_assert(file->ops->write(file, 0, bytes_of(mixed, size), &error));
    file->ops->close(file);
    free(mixed);
    buffer_free(&now);
}

/* The files must be closed. What comes through is durable then. */
static inline void crashing_disk_crash(struct disk *disk, unsigned *seed) {
    struct crashing_disk *self = crashing_of(disk);
    for (size_t i = 0; i < self->count; i++) {
        struct error error;
        if (!self->states[i].name_synced && rand_r(seed) % 2) {
            self->inner->ops->unlink(self->inner, self->states[i].path, &error);
        } else {
            crashing_crash_file(self, &self->states[i], seed);
        }
    }
}

#endif
