/* Reading an object: the sidecar says what it is and what its blocks' checksums are. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checksum/crc32c.h"
#include "object-svc/cold/cold_directory_parts.h"
#include "object-svc/hot/block_sums.h"

enum { VERIFY_BYTES = 4 * 1024 * 1024 };

struct directory_reader {
    struct cold_reader base;
    struct arena arena;
    struct cold_sidecar sidecar;
    int file;
    struct block_reader blocks;
};

static struct directory_reader *self_of(struct cold_reader *reader) {
    return (struct directory_reader *)reader;
}

static struct cold_name name_of(const struct provenance *provenance) {
    return (struct cold_name){provenance->bucket, provenance->key, provenance->version};
}

/* As many bytes as there are, up to `size`; -1 on failure. */
static int64_t read_at(int file, uint64_t offset, void *out, size_t size, struct error *error) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file, (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            error_set_errno(error, errno, "reading the cold store");
            return -1;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return (int64_t)done;
}

static bool read_file(int file, struct arena *arena, struct bytes *text, struct error *error) {
    struct stat status;
    if (fstat(file, &status) != 0) {
        return error_set_errno(error, errno, "looking at the cold store");
    }
    if (status.st_size > COLD_SIDECAR_MAX_BYTES) {
        *text = (struct bytes){0};
        return true;
    }
    uint8_t *data = arena_alloc(arena, (size_t)status.st_size + 1);
    int64_t got = read_at(file, 0, data, (size_t)status.st_size, error);
    *text = bytes_of(data, got < 0 ? 0 : (size_t)got);
    return got >= 0;
}

/* Only bytes make an object: a sidecar without them is a write that did not end. */
static bool has_bytes(struct cold_directory *self, const char *path) {
    return faccessat(self->root, path, F_OK, 0) == 0;
}

bool cold_directory_load_sidecar(struct cold_directory *self, const struct cold_name *name, struct arena *arena,
                                 struct cold_sidecar *sidecar, struct error *error) {
    char path[COLD_PATH_MAX_BYTES];
    char sidecar_path[COLD_SIDECAR_PATH_BYTES];
    struct bytes text;
    if (!cold_object_path(name, path, error)) {
        return false;
    }
    cold_sidecar_path(path, sidecar_path);
    if (!has_bytes(self, path)) {
        return cold_object_not_found(error, name);
    }
    int file = openat(self->root, sidecar_path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno == ENOENT ? cold_object_corrupt(error, name, "an object without its sidecar")
                               : error_set_errno(error, errno, "opening the cold store's %s", sidecar_path);
    }
    bool ok = read_file(file, arena, &text, error);
    close(file);
    if (!ok) {
        return false;
    }
    if (!cold_sidecar_decode(text, arena, sidecar)) {
        return cold_object_corrupt(error, name, "a damaged sidecar");
    }
    const struct provenance *found = &sidecar->provenance;
    if (strcmp(found->bucket, name->bucket) != 0 || strcmp(found->key, name->key) != 0 ||
        found->version != name->version) {
        return cold_object_corrupt(error, name, "the sidecar of another object");
    }
    return true;
}

static bool object_damaged(void *context, uint64_t offset, struct error *error) {
    struct directory_reader *self = context;
    struct cold_name name = name_of(&self->sidecar.provenance);
    char how[64];
    snprintf(how, sizeof how, "damaged bytes at %" PRIu64, offset);
    return cold_object_corrupt(error, &name, how);
}

static bool read_bytes(void *context, uint64_t offset, void *out, size_t size, struct error *error) {
    struct directory_reader *self = context;
    int64_t got = read_at(self->file, offset, out, size, error);
    if (got < 0) {
        return false;
    }
    return (size_t)got == size || object_damaged(self, offset + (uint64_t)got, error);
}

static bool read_sums(void *context, uint64_t first, void *out, size_t count, struct error *error) {
    (void)error;
    struct directory_reader *self = context;
    memcpy(out, self->sidecar.block_sums.data + first * sizeof(uint32_t), count * sizeof(uint32_t));
    return true;
}

static bool open_bytes(struct cold_directory *store, struct directory_reader *self, const struct cold_name *name,
                       struct error *error) {
    char path[COLD_PATH_MAX_BYTES];
    struct stat status;
    cold_object_path(name, path, error);
    self->file = openat(store->root, path, O_RDONLY | O_CLOEXEC);
    if (self->file < 0) {
        /* Removed since the sidecar was read. */
        return errno == ENOENT ? cold_object_not_found(error, name)
                               : error_set_errno(error, errno, "opening the cold store's %s", path);
    }
    if (fstat(self->file, &status) != 0) {
        return error_set_errno(error, errno, "looking at the cold store's %s", path);
    }
    return (uint64_t)status.st_size == self->sidecar.provenance.size_bytes ||
           cold_object_corrupt(error, name, "an object of the wrong length");
}

struct cold_reader *cold_directory_open_object(struct cold_store *base, const struct cold_name *name,
                                               struct error *error) {
    struct cold_directory *store = cold_directory_of(base);
    struct directory_reader *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->base.ops = base->ops;
    self->file = -1;
    arena_init(&self->arena);
    if (!cold_directory_load_sidecar(store, name, &self->arena, &self->sidecar, error) ||
        !open_bytes(store, self, name, error)) {
        cold_directory_close_reader(&self->base);
        return NULL;
    }
    struct block_source source = {.read = read_bytes, .sums = read_sums, .corrupt = object_damaged, .context = self};
    block_reader_start(&self->blocks, &source, self->sidecar.provenance.size_bytes, self->sidecar.provenance.crc32c,
                       self->sidecar.block_bytes);
    return &self->base;
}

const struct provenance *cold_directory_reader_provenance(const struct cold_reader *reader) {
    return &((const struct directory_reader *)reader)->sidecar.provenance;
}

int64_t cold_directory_read(struct cold_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    return block_reader_read(&self_of(reader)->blocks, offset, out, size, error);
}

void cold_directory_close_reader(struct cold_reader *reader) {
    struct directory_reader *self = self_of(reader);
    block_reader_stop(&self->blocks);
    if (self->file >= 0) {
        close(self->file);
    }
    arena_free(&self->arena);
    free(self);
}

static bool read_back(struct directory_reader *self, struct error *error) {
    /* From the disk, not from memory, where the kernel can be moved to it. */
    posix_fadvise(self->file, 0, 0, POSIX_FADV_DONTNEED);
    uint8_t *chunk = malloc(VERIFY_BYTES);
    if (chunk == NULL) {
        abort();
    }
    uint64_t offset = 0;
    uint32_t crc = 0;
    int64_t got;
    while ((got = block_reader_read(&self->blocks, offset, chunk, VERIFY_BYTES, error)) > 0) {
        crc = crc32c_extend(crc, bytes_of(chunk, (size_t)got));
        offset += (uint64_t)got;
    }
    free(chunk);
    if (got < 0) {
        return false;
    }
    struct cold_name name = name_of(&self->sidecar.provenance);
    return crc == self->sidecar.provenance.crc32c || cold_object_corrupt(error, &name, "a wrong CRC32C");
}

bool cold_directory_verify(struct cold_store *store, const struct provenance *expected, struct error *error) {
    struct cold_name name = name_of(expected);
    struct cold_reader *reader = cold_directory_open_object(store, &name, error);
    if (reader == NULL) {
        return false;
    }
    const struct provenance *found = cold_directory_reader_provenance(reader);
    bool same = uuid_equal(&found->payload_id, &expected->payload_id) && found->size_bytes == expected->size_bytes &&
                found->crc32c == expected->crc32c;
    bool ok = (same || cold_object_corrupt(error, &name, "another payload than expected")) &&
              read_back(self_of(reader), error);
    cold_directory_close_reader(reader);
    return ok;
}
