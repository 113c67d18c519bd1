#include "tests/support/faulty_disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of a file, with or without a name: names and contents become durable apart. */
struct body {
    struct body *next;
    uint8_t *now;
    uint8_t *durable;
    uint8_t *dirty; /* one flag a sector: differs from what is durable */
    uint8_t *lost;  /* one flag a sector: a failed sync dropped it; no later sync saves it */
    uint64_t size;
    uint64_t durable_size;
    uint64_t capacity; /* of the arrays above, in bytes of content */
};

struct name {
    char *path;
    struct body *body; /* NULL: a directory */
};

struct names {
    struct name *list;
    size_t count;
};

struct faulty_disk {
    struct disk base;
    pthread_mutex_t lock; /* all below */
    struct body *bodies;
    struct names now;
    struct names durable;
    uint64_t random;
    uint64_t operations;
    uint64_t fail_at;
    enum faulty_fault fault;
    uint64_t cut_at;
    bool cut;
    bool fail_reads;
    uint64_t capacity;
};

struct faulty_file {
    struct disk_file base;
    struct faulty_disk *disk;
    struct body *body;
};

/* ---- small parts ---- */

static struct faulty_disk *of(struct disk *disk) {
    return (struct faulty_disk *)disk;
}

static void *allocate(void *old, size_t size) {
    void *grown = realloc(old, size + 1);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

static bool toss(struct faulty_disk *disk) {
    disk->random ^= disk->random << 13;
    disk->random ^= disk->random >> 7;
    disk->random ^= disk->random << 17;
    return (disk->random >> 33) & 1;
}

static struct name *find(struct names *names, const char *path) {
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].path, path) == 0) {
            return &names->list[i];
        }
    }
    return NULL;
}

static void add_name(struct names *names, const char *path, struct body *body) {
    names->list = allocate(names->list, (names->count + 1) * sizeof *names->list);
    char *copy = strdup(path);
    if (copy == NULL) {
        abort();
    }
    names->list[names->count++] = (struct name){copy, body};
}

static void remove_name(struct names *names, struct name *name) {
    free(name->path);
    *name = names->list[--names->count];
}

static void clear_names(struct names *names) {
    while (names->count > 0) {
        remove_name(names, &names->list[names->count - 1]);
    }
}

static uint64_t sectors(uint64_t size) {
    return (size + FAULTY_SECTOR_BYTES - 1) / FAULTY_SECTOR_BYTES;
}

static uint8_t *grow_zeroed(uint8_t *old, uint64_t old_size, uint64_t new_size) {
    uint8_t *grown = allocate(old, new_size);
    memset(grown + old_size, 0, new_size - old_size);
    return grown;
}

static void reserve(struct body *body, uint64_t size) {
    if (size > body->capacity) {
        uint64_t capacity = sectors(size > 2 * body->capacity ? size : 2 * body->capacity) * FAULTY_SECTOR_BYTES;
        body->now = grow_zeroed(body->now, body->capacity, capacity);
        body->durable = grow_zeroed(body->durable, body->capacity, capacity);
        body->dirty = grow_zeroed(body->dirty, sectors(body->capacity), sectors(capacity));
        body->lost = grow_zeroed(body->lost, sectors(body->capacity), sectors(capacity));
        body->capacity = capacity;
    }
}

static uint64_t total_size(const struct faulty_disk *disk) {
    uint64_t total = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        total += disk->now.list[i].body != NULL ? disk->now.list[i].body->size : 0;
    }
    return total;
}

/* Resizes, if the disk has the room. */
static bool resize(struct faulty_disk *disk, struct body *body, uint64_t size) {
    if (size > body->size && disk->capacity != 0 && total_size(disk) + (size - body->size) > disk->capacity) {
        return false;
    }
    reserve(body, size);
    if (size < body->size) {
        memset(body->now + size, 0, body->size - size);
        memset(body->dirty + size / FAULTY_SECTOR_BYTES, 1, sectors(body->size) - size / FAULTY_SECTOR_BYTES);
    }
    body->size = size;
    return true;
}

static void put(struct body *body, uint64_t offset, const uint8_t *data, size_t size) {
    if (size > 0) {
        memcpy(body->now + offset, data, size);
        uint64_t first = offset / FAULTY_SECTOR_BYTES;
        uint64_t count = sectors(offset + size) - first;
        memset(body->dirty + first, 1, count);
        memset(body->lost + first, 0, count);
    }
}

/* ---- faults ---- */

static bool set_fault(struct error *error, int number, const char *what) {
    return error_set_errno(error, number, "%s on the faulty disk", what);
}

/* Counts the operation; false when it is to fail. `halved` says whether half of it is done. */
static bool allowed(struct faulty_disk *disk, const char *what, bool *halved, struct error *error) {
    disk->operations++;
    *halved = false;
    if (disk->cut || (disk->cut_at != 0 && disk->operations >= disk->cut_at)) {
        *halved = !disk->cut; /* the power goes in the middle of it */
        disk->cut = true;
        return set_fault(error, EIO, what);
    }
    if (disk->operations == disk->fail_at) {
        *halved = disk->fault == FAULTY_IO_ERROR;
        return set_fault(error, disk->fault == FAULTY_NO_SPACE ? ENOSPC : EIO, what);
    }
    return true;
}

/* ---- files ---- */

static void faulty_close(struct disk_file *file) {
    free(file);
}

static struct disk_file *faulty_open(struct disk *self, const char *path, bool create, struct error *error) {
    struct faulty_disk *disk = of(self);
    struct faulty_file *file = NULL;
    bool halved;
    pthread_mutex_lock(&disk->lock);
    struct name *name = find(&disk->now, path);
    if (disk->cut) {
        set_fault(error, EIO, path);
    } else if (name == NULL && !create) {
        set_fault(error, ENOENT, path);
    } else if (name != NULL || allowed(disk, path, &halved, error)) {
        struct body *body = name != NULL ? name->body : calloc(1, sizeof *body);
        if (body == NULL) {
            abort();
        }
        if (name == NULL) {
            body->next = disk->bodies;
            disk->bodies = body;
            add_name(&disk->now, path, body);
        }
        file = allocate(NULL, sizeof *file);
        *file = (struct faulty_file){{self->ops}, disk, body};
    }
    pthread_mutex_unlock(&disk->lock);
    return file != NULL ? &file->base : NULL;
}

/* Up to a sector's end, since sectors are whole. */
static size_t half_of(uint64_t offset, size_t size) {
    uint64_t end = (offset + size / 2) / FAULTY_SECTOR_BYTES * FAULTY_SECTOR_BYTES;
    return end > offset ? (size_t)(end - offset) : 0;
}

static bool faulty_write(struct disk_file *self, uint64_t offset, struct bytes data, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    struct body *body = file->body;
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, "writing", &halved, error);
    size_t size = good ? data.size : halved ? half_of(offset, data.size) : 0;
    if ((good || halved) && size > 0) {
        if (offset + size <= body->size || resize(disk, body, offset + size)) {
            put(body, offset, data.data, size);
        } else {
            good = set_fault(error, ENOSPC, "writing");
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static int64_t faulty_read(struct disk_file *self, uint64_t offset, void *out, size_t size, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    int64_t got = -1;
    pthread_mutex_lock(&disk->lock);
    if (disk->cut || disk->fail_reads) {
        set_fault(error, EIO, "reading");
    } else {
        uint64_t left = offset < file->body->size ? file->body->size - offset : 0;
        got = (int64_t)(left < size ? left : size);
        if (got > 0) {
            memcpy(out, file->body->now + offset, (size_t)got);
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return got;
}

static void make_durable(struct body *body) {
    for (uint64_t i = 0; i < sectors(body->capacity); i++) {
        if (body->dirty[i] && !body->lost[i]) {
            memcpy(body->durable + i * FAULTY_SECTOR_BYTES, body->now + i * FAULTY_SECTOR_BYTES, FAULTY_SECTOR_BYTES);
            body->dirty[i] = 0;
        }
    }
    body->durable_size = body->size;
}

static bool faulty_sync(struct disk_file *self, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, "flushing", &halved, error);
    if (good) {
        make_durable(file->body);
    } else if (!disk->cut) {
        memcpy(file->body->lost, file->body->dirty, sectors(file->body->capacity));
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

/* Whatever is not synced may be lost or not, so writing it back changes nothing. */
static bool faulty_write_back(struct disk_file *self, uint64_t offset, uint64_t size, enum disk_write_back how,
                              struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    bool halved;
    (void)offset;
    (void)size;
    (void)how;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, "writing back", &halved, error);
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static void faulty_reserve(struct disk_file *self, uint64_t offset, uint64_t size) {
    (void)self;
    (void)offset;
    (void)size;
}

static bool faulty_allocate(struct disk_file *self, uint64_t offset, uint64_t size, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, "allocating", &halved, error);
    if (good && offset + size > file->body->size && !resize(disk, file->body, offset + size)) {
        good = set_fault(error, ENOSPC, "allocating");
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static bool faulty_truncate(struct disk_file *self, uint64_t size, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    struct faulty_disk *disk = file->disk;
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, "truncating", &halved, error);
    if (good && !resize(disk, file->body, size)) {
        good = set_fault(error, ENOSPC, "truncating");
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static bool faulty_size(struct disk_file *self, uint64_t *size, struct error *error) {
    struct faulty_file *file = (struct faulty_file *)self;
    pthread_mutex_lock(&file->disk->lock);
    bool good = !file->disk->cut || set_fault(error, EIO, "reading a size");
    *size = file->body->size;
    pthread_mutex_unlock(&file->disk->lock);
    return good;
}

/* ---- names ---- */

static bool faulty_make_directory(struct disk *self, const char *path, struct error *error) {
    struct faulty_disk *disk = of(self);
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, path, &halved, error);
    if (good && find(&disk->now, path) == NULL) {
        add_name(&disk->now, path, NULL);
        add_name(&disk->durable, path, NULL);
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

/* "." and "" are the root. */
static bool is_directly_in(const char *path, const char *directory) {
    size_t size = strcmp(directory, ".") == 0 ? 0 : strlen(directory);
    if (size > 0 && (strncmp(path, directory, size) != 0 || path[size] != '/')) {
        return false;
    }
    return strchr(path + (size > 0 ? size + 1 : 0), '/') == NULL;
}

static bool faulty_sync_directory(struct disk *self, const char *path, struct error *error) {
    struct faulty_disk *disk = of(self);
    bool halved;
    pthread_mutex_lock(&disk->lock);
    bool good = allowed(disk, path, &halved, error);
    if (good) {
        for (size_t i = disk->durable.count; i > 0; i--) {
            if (is_directly_in(disk->durable.list[i - 1].path, path)) {
                remove_name(&disk->durable, &disk->durable.list[i - 1]);
            }
        }
        for (size_t i = 0; i < disk->now.count; i++) {
            if (is_directly_in(disk->now.list[i].path, path)) {
                add_name(&disk->durable, disk->now.list[i].path, disk->now.list[i].body);
            }
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static bool faulty_rename(struct disk *self, const char *from, const char *to, struct error *error) {
    struct faulty_disk *disk = of(self);
    bool halved;
    pthread_mutex_lock(&disk->lock);
    struct name *name = find(&disk->now, from);
    bool good = allowed(disk, from, &halved, error) && (name != NULL || set_fault(error, ENOENT, from));
    if (good) {
        struct body *body = name->body;
        remove_name(&disk->now, name);
        struct name *replaced = find(&disk->now, to);
        if (replaced != NULL) {
            remove_name(&disk->now, replaced);
        }
        add_name(&disk->now, to, body);
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

static bool faulty_unlink(struct disk *self, const char *path, struct error *error) {
    struct faulty_disk *disk = of(self);
    bool halved;
    pthread_mutex_lock(&disk->lock);
    struct name *name = find(&disk->now, path);
    bool good = allowed(disk, path, &halved, error);
    if (good && name != NULL) {
        remove_name(&disk->now, name);
    }
    pthread_mutex_unlock(&disk->lock);
    return good;
}

/* The names are copied, since the visit may change them. */
static bool faulty_list(struct disk *self, const char *path, disk_name_visitor *visit, void *context,
                        struct error *error) {
    struct faulty_disk *disk = of(self);
    struct names found = {0};
    pthread_mutex_lock(&disk->lock);
    bool good = !disk->cut || set_fault(error, EIO, path);
    for (size_t i = 0; good && i < disk->now.count; i++) {
        if (is_directly_in(disk->now.list[i].path, path)) {
            add_name(&found, disk->now.list[i].path, NULL);
        }
    }
    pthread_mutex_unlock(&disk->lock);
    for (size_t i = 0; i < found.count; i++) {
        const char *slash = strrchr(found.list[i].path, '/');
        if (!visit(context, slash != NULL ? slash + 1 : found.list[i].path)) {
            break;
        }
    }
    clear_names(&found);
    free(found.list);
    return good;
}

static bool faulty_space(struct disk *self, struct disk_space *space, struct error *error) {
    (void)error;
    struct faulty_disk *disk = of(self);
    pthread_mutex_lock(&disk->lock);
    uint64_t total = disk->capacity == 0 ? INT64_MAX : disk->capacity;
    uint64_t used = total_size(disk);
    *space = (struct disk_space){.free_bytes = used < total ? total - used : 0, .total_bytes = total};
    pthread_mutex_unlock(&disk->lock);
    return true;
}

static void faulty_free(struct disk *self) {
    struct faulty_disk *disk = of(self);
    while (disk->bodies != NULL) {
        struct body *body = disk->bodies;
        disk->bodies = body->next;
        free(body->now);
        free(body->durable);
        free(body->dirty);
        free(body->lost);
        free(body);
    }
    clear_names(&disk->now);
    clear_names(&disk->durable);
    free(disk->now.list);
    free(disk->durable.list);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

static const struct disk_ops faulty_ops = {
    .open = faulty_open,
    .close = faulty_close,
    .write = faulty_write,
    .read = faulty_read,
    .sync = faulty_sync,
    .write_back = faulty_write_back,
    .reserve = faulty_reserve,
    .allocate = faulty_allocate,
    .truncate = faulty_truncate,
    .size = faulty_size,
    .make_directory = faulty_make_directory,
    .sync_directory = faulty_sync_directory,
    .rename = faulty_rename,
    .unlink = faulty_unlink,
    .list = faulty_list,
    .space = faulty_space,
    .free = faulty_free,
};

/* ---- for the test ---- */

struct disk *faulty_disk_new(uint64_t seed) {
    struct faulty_disk *disk = calloc(1, sizeof *disk);
    if (disk == NULL) {
        abort();
    }
    disk->base.ops = &faulty_ops;
    disk->random = seed * 0x9e3779b97f4a7c15u + 1;
    pthread_mutex_init(&disk->lock, NULL);
    return &disk->base;
}

uint64_t faulty_disk_operations(struct disk *disk) {
    pthread_mutex_lock(&of(disk)->lock);
    uint64_t operations = of(disk)->operations;
    pthread_mutex_unlock(&of(disk)->lock);
    return operations;
}

void faulty_disk_fail_at(struct disk *disk, uint64_t operation, enum faulty_fault fault) {
    pthread_mutex_lock(&of(disk)->lock);
    of(disk)->fail_at = operation;
    of(disk)->fault = fault;
    pthread_mutex_unlock(&of(disk)->lock);
}

void faulty_disk_cut_at(struct disk *disk, uint64_t operation) {
    pthread_mutex_lock(&of(disk)->lock);
    of(disk)->cut_at = operation;
    pthread_mutex_unlock(&of(disk)->lock);
}

void faulty_disk_fail_reads(struct disk *disk, bool fail) {
    pthread_mutex_lock(&of(disk)->lock);
    of(disk)->fail_reads = fail;
    pthread_mutex_unlock(&of(disk)->lock);
}

void faulty_disk_set_capacity(struct disk *disk, uint64_t bytes) {
    pthread_mutex_lock(&of(disk)->lock);
    of(disk)->capacity = bytes;
    pthread_mutex_unlock(&of(disk)->lock);
}

static void settle_body(struct faulty_disk *disk, struct body *body, enum faulty_unsynced unsynced) {
    bool keep_size = unsynced == FAULTY_KEEP || (unsynced == FAULTY_TEAR && toss(disk));
    for (uint64_t i = 0; i < sectors(body->capacity); i++) {
        bool keep = !body->lost[i] && (unsynced == FAULTY_KEEP || (unsynced == FAULTY_TEAR && toss(disk)));
        uint64_t at = i * FAULTY_SECTOR_BYTES;
        if (body->dirty[i] && keep) {
            memcpy(body->durable + at, body->now + at, FAULTY_SECTOR_BYTES);
        } else if (body->dirty[i]) {
            memcpy(body->now + at, body->durable + at, FAULTY_SECTOR_BYTES);
        }
        body->dirty[i] = 0;
        body->lost[i] = 0;
    }
    body->size = keep_size ? body->size : body->durable_size;
    body->durable_size = body->size;
    memset(body->now + body->size, 0, body->capacity - body->size);
    memset(body->durable + body->size, 0, body->capacity - body->size);
}

/* Names change in one step: all that were changed since the last sync, or none of them. */
static void settle_names(struct faulty_disk *disk, enum faulty_unsynced unsynced) {
    bool keep = unsynced == FAULTY_KEEP || (unsynced == FAULTY_TEAR && toss(disk));
    struct names *from = keep ? &disk->now : &disk->durable;
    struct names *to = keep ? &disk->durable : &disk->now;
    clear_names(to);
    for (size_t i = 0; i < from->count; i++) {
        add_name(to, from->list[i].path, from->list[i].body);
    }
}

void faulty_disk_restart(struct disk *self, enum faulty_unsynced unsynced) {
    struct faulty_disk *disk = of(self);
    pthread_mutex_lock(&disk->lock);
    settle_names(disk, unsynced);
    for (struct body *body = disk->bodies; body != NULL; body = body->next) {
        if (body->capacity > 0) {
            settle_body(disk, body, unsynced);
        }
    }
    disk->cut = false;
    disk->cut_at = 0;
    disk->fail_at = 0;
    disk->fail_reads = false;
    pthread_mutex_unlock(&disk->lock);
}

uint64_t faulty_disk_file_size(struct disk *disk, const char *path) {
    pthread_mutex_lock(&of(disk)->lock);
    const struct name *name = find(&of(disk)->now, path);
    uint64_t size = name != NULL && name->body != NULL ? name->body->size : 0;
    pthread_mutex_unlock(&of(disk)->lock);
    return size;
}

static struct body *body_with(struct disk *disk, const char *path, uint64_t end) {
    const struct name *name = find(&of(disk)->now, path);
    if (name == NULL || name->body == NULL || end > name->body->size) {
        abort(); /* the test names what is not there */
    }
    return name->body;
}

void faulty_disk_flip(struct disk *disk, const char *path, uint64_t offset, uint8_t bits) {
    pthread_mutex_lock(&of(disk)->lock);
    struct body *body = body_with(disk, path, offset + 1);
    body->now[offset] ^= bits;
    body->durable[offset] ^= bits;
    pthread_mutex_unlock(&of(disk)->lock);
}

void faulty_disk_peek(struct disk *disk, const char *path, uint64_t offset, void *out, size_t size) {
    pthread_mutex_lock(&of(disk)->lock);
    memcpy(out, body_with(disk, path, offset + size)->now + offset, size);
    pthread_mutex_unlock(&of(disk)->lock);
}
