/* Of which directories it is known that they are durable: this process synced them and all above them, so
 * that the names on the way to each are on the disk. What is put into one of these need not sync those above it.
 *
 * A directory that is only there is not durable by that: whoever made it, another process or one
 * that crashed, may not have come to sync its name. So none is known at the start.
 *
 * A directory is known by its inode, and held open while it is known, so that no other one
 * can get that number: one that is removed and made again under the same name, whoever does so, is another
 * directory. It must not be renamed, nor one above it. The number of those known is bounded; those not asked for
 * longest are forgotten first, which costs their sync once more. Any thread. */
#ifndef WAYBILL_COLD_DURABLE_DIRECTORIES_H
#define WAYBILL_COLD_DURABLE_DIRECTORIES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { DURABLE_DIRECTORIES_MAX = 128 };

struct durable_directory {
    int fd;
    dev_t device;
    ino_t inode;
    uint64_t used; /* when it was asked for, on a clock that counts such calls */
};

struct durable_directories {
    pthread_mutex_t lock; /* all below */
    struct durable_directory known[DURABLE_DIRECTORIES_MAX];
    size_t count;
    uint64_t clock;
};

void durable_directories_init(struct durable_directories *self);
void durable_directories_destroy(struct durable_directories *self);

/* Whether it is known; the caller holds it open, or has seen it under a name that cannot go meanwhile. */
bool durable_directories_has(struct durable_directories *self, const struct stat *status);
/* Remembers one; takes the descriptor. */
void durable_directories_add_take(struct durable_directories *self, int fd, const struct stat *status);
/* It was removed. */
void durable_directories_forget(struct durable_directories *self, const struct stat *status);

#endif
