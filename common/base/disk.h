/* Files, as an interface: spool and hot volumes touch the disk only through this, so that a
 * simulator can give them one that tears, drops and corrupts.
 *
 * Paths are relative to the directory that the disk was opened on. Any thread may use a disk;
 * a file's calls may run at the same time on ranges that do not overlap. No call retries a
 * failed write or sync: after one, what is on the disk is unknown. */
#ifndef WAYBILL_BASE_DISK_H
#define WAYBILL_BASE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/error.h"

struct disk;
struct disk_file;

/* How much the file system takes yet, for an unprivileged writer. */
struct disk_space {
    uint64_t free_bytes;
    uint64_t total_bytes;
};

/* Called once per name in a directory; false ends the listing. */
typedef bool disk_name_visitor(void *context, const char *name);

/* How to write a range from memory to the disk; nothing becomes durable by it. */
enum disk_write_back {
    DISK_WRITE_BACK_BEGIN,  /* it is on its way */
    DISK_WRITE_BACK_WAIT,   /* it is there */
    DISK_WRITE_BACK_FORGET, /* it is there, and need not stay in memory */
};

struct disk_ops {
    /* Opens a file for reading and writing; `create` makes it where it is missing. */
    struct disk_file *(*open)(struct disk *disk, const char *path, bool create, struct error *error);
    void (*close)(struct disk_file *file);
    /* Writes all of it or fails. */
    bool (*write)(struct disk_file *file, uint64_t offset, struct bytes data, struct error *error);
    /* Reads up to `size` bytes; returns how many (fewer only at the end of the file), -1 on failure. */
    int64_t (*read)(struct disk_file *file, uint64_t offset, void *out, size_t size, struct error *error);
    /* Makes what was written, and the size, durable. */
    bool (*sync)(struct disk_file *file, struct error *error);
    bool (*write_back)(struct disk_file *file, uint64_t offset, uint64_t size, enum disk_write_back how,
                       struct error *error);
    /* Reserves space for writes to come without making the file longer; truncate gives back what is
     * past the end. Only a hint: not done where the disk is nearly full, or cannot. */
    void (*reserve)(struct disk_file *file, uint64_t offset, uint64_t size);
    /* Reserves space for the range and extends the file to hold it. */
    bool (*allocate)(struct disk_file *file, uint64_t offset, uint64_t size, struct error *error);
    bool (*truncate)(struct disk_file *file, uint64_t size, struct error *error);
    bool (*size)(struct disk_file *file, uint64_t *size, struct error *error);
    /* Makes a directory and those above it; one that exists is fine. */
    bool (*make_directory)(struct disk *disk, const char *path, struct error *error);
    /* Makes names in a directory durable after create, rename or unlink. */
    bool (*sync_directory)(struct disk *disk, const char *path, struct error *error);
    bool (*rename)(struct disk *disk, const char *from, const char *to, struct error *error);
    /* Removing what is not there is fine. */
    bool (*unlink)(struct disk *disk, const char *path, struct error *error);
    bool (*list)(struct disk *disk, const char *path, disk_name_visitor *visit, void *context, struct error *error);
    bool (*space)(struct disk *disk, struct disk_space *space, struct error *error);
    void (*free)(struct disk *disk);
};

struct disk {
    const struct disk_ops *ops;
};

struct disk_file {
    const struct disk_ops *ops;
};

/* Makes a directory and those above it where they are missing; the names of all are durable then, also of
 * those that an earlier process may not have come to sync. */
bool posix_make_directories(const char *path, struct error *error);

/* The machine's file system below `root`, which is created where it is missing. */
struct disk *posix_disk_new(const char *root, struct error *error);

#endif
