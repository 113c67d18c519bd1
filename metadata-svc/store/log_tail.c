#include "metadata-svc/store/log_tail.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/checksum/crc32c.h"

/* A log is blocks, filled with records that are cut in fragments where a block ends:
 * masked CRC32C of type and data, length, type. */
enum {
    BLOCK_BYTES = 32768,
    HEADER_BYTES = 7,
    SECTOR_BYTES = 512, /* the least that a disk writes whole */
    CRC_ROTATION = 15,
};
static const uint32_t crc_offset = 0xa282ead8U;

enum fragment_type { FRAGMENT_BLANK, FRAGMENT_FULL, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

struct fragment {
    size_t at;
    size_t size; /* with its header */
    enum fragment_type type;
    bool good;
    bool blank; /* nothing was written there, nor in the rest of the block */
};

static uint32_t masked(uint32_t crc) {
    return ((crc >> CRC_ROTATION) | (crc << (32 - CRC_ROTATION))) + crc_offset;
}

static size_t block_behind(size_t at) {
    return at - at % BLOCK_BYTES + BLOCK_BYTES;
}

/* The fragment at that place, which has room for a header. */
static struct fragment fragment_at(struct bytes log, size_t at) {
    const uint8_t *header = log.data + at;
    size_t most = (block_behind(at) < log.size ? block_behind(at) : log.size) - at;
    struct fragment fragment = {.at = at, .size = HEADER_BYTES + get_le16(header + 4), .type = header[6]};
    fragment.blank = fragment.type == FRAGMENT_BLANK && fragment.size == HEADER_BYTES;
    if (fragment.size > most) {
        fragment.size = most;
    } else if (fragment.type >= FRAGMENT_FULL && fragment.type <= FRAGMENT_LAST) {
        fragment.good = masked(crc32c(bytes_of(header + 6, fragment.size - 6))) == get_le32(header);
    }
    return fragment;
}

static bool begins_batch(const struct fragment *fragment) {
    return fragment->good && (fragment->type == FRAGMENT_FULL || fragment->type == FRAGMENT_FIRST);
}

/* Whether a batch begins somewhere behind that place, in its block: a bad fragment does not tell
 * where the next one is. */
static bool batch_hides_behind(struct bytes log, size_t at) {
    size_t end = block_behind(at) < log.size ? block_behind(at) : log.size;
    for (at++; at + HEADER_BYTES <= end; at++) {
        struct fragment fragment = fragment_at(log, at);
        if (begins_batch(&fragment)) {
            return true;
        }
    }
    return false;
}

/* Whether the part of some sector that the fragment covers is zero: it was never written. */
static bool has_blank_sector(struct bytes log, const struct fragment *fragment) {
    size_t end = fragment->at + fragment->size;
    for (size_t at = fragment->at; at < end;) {
        size_t sector_end = at - at % SECTOR_BYTES + SECTOR_BYTES;
        size_t stop = sector_end < end ? sector_end : end;
        while (at < stop && log.data[at] == 0) {
            at++;
        }
        if (at == stop) {
            return true;
        }
        at = stop;
    }
    return false;
}

struct walk {
    struct bytes log;
    bool in_batch;  /* it began and has not ended */
    size_t batch;   /* where it begins */
    bool broken;    /* from here on no batch may be whole */
    size_t end;     /* where that begins */
    bool unwritten; /* sectors of what is broken are blank */
    bool blank;     /* nothing was written, or seems so, from here on */
    size_t blank_at;
};

static void breaks(struct walk *walk, size_t at) {
    if (!walk->broken) {
        walk->broken = true;
        walk->end = walk->in_batch ? walk->batch : walk->blank ? walk->blank_at : at;
    }
    walk->unwritten |= walk->blank;
    walk->in_batch = false;
}

static void meet_blank(struct walk *walk, size_t at) {
    if (!walk->blank) {
        walk->blank = true;
        walk->blank_at = at;
    }
    if (walk->in_batch) {
        breaks(walk, at);
    }
}

/* False: a batch begins behind what is broken, so that was flushed, and is damaged. */
static bool meet_good(struct walk *walk, const struct fragment *fragment) {
    bool begins = begins_batch(fragment);
    if (begins && (walk->broken || walk->in_batch || walk->blank)) {
        return false;
    }
    if (!begins && !walk->in_batch) {
        breaks(walk, fragment->at);
        return true;
    }
    if (begins) {
        walk->batch = fragment->at;
    }
    walk->in_batch = fragment->type == FRAGMENT_FIRST || fragment->type == FRAGMENT_MIDDLE;
    return true;
}

/* The same. */
static bool meet_bad(struct walk *walk, const struct fragment *fragment) {
    breaks(walk, fragment->at);
    walk->unwritten |= has_blank_sector(walk->log, fragment);
    return !batch_hides_behind(walk->log, fragment->at);
}

static bool meet(struct walk *walk, const struct fragment *fragment) {
    if (fragment->blank) {
        meet_blank(walk, fragment->at);
        return true;
    }
    return fragment->good ? meet_good(walk, fragment) : meet_bad(walk, fragment);
}

struct log_tail log_tail_of(struct bytes log) {
    struct walk walk = {.log = log};
    size_t at = 0;
    while (at + HEADER_BYTES <= log.size) {
        if (block_behind(at) - at < HEADER_BYTES) {
            at = block_behind(at); /* filled up: too small for a header */
            continue;
        }
        struct fragment fragment = fragment_at(log, at);
        if (!meet(&walk, &fragment)) {
            return (struct log_tail){.state = LOG_TAIL_DAMAGED};
        }
        at = fragment.good ? at + fragment.size : block_behind(at);
    }
    if (walk.in_batch) {
        walk.unwritten = true;
        breaks(&walk, log.size);
    }
    if (!walk.broken) {
        return (struct log_tail){.state = LOG_TAIL_WHOLE, .end = log.size};
    }
    return (struct log_tail){walk.unwritten ? LOG_TAIL_TORN : LOG_TAIL_DAMAGED, walk.end};
}

/* ---- the newest log of a store ---- */

bool numbered_name_parse(const char *name, const char *suffix, uint64_t *number) {
    int end = 0;
    return sscanf(name, "%" SCNu64 "%n", number, &end) == 1 && strcmp(name + end, suffix) == 0;
}

bool log_name_parse(const char *name, uint64_t *number) {
    return numbered_name_parse(name, ".log", number);
}

static bool note_newest(void *context, const char *name) {
    uint64_t number;
    uint64_t *newest = context;
    if (log_name_parse(name, &number) && number > *newest) {
        *newest = number;
    }
    return true;
}

static bool cut(struct disk_file *file, const char *name, uint64_t size, uint64_t end, struct error *error) {
    log_warn("record_log_torn", LOG_STR("log", name), LOG_INT("from", end), LOG_INT("bytes", size - end),
             LOG_STR("hint", "the power went while a batch of commits was written; none of them was acknowledged"));
    return FAILPOINT("record_log.cut.before") && file->ops->truncate(file, end, error) &&
           file->ops->sync(file, error) && FAILPOINT("record_log.cut.after");
}

static bool mend(struct disk_file *file, const char *name, struct error *error) {
    uint64_t size = 0;
    if (!file->ops->size(file, &size, error)) {
        return false;
    }
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL) {
        abort();
    }
    int64_t got = file->ops->read(file, 0, data, size, error);
    bool good = got >= 0;
    if (good) {
        struct log_tail tail = log_tail_of(bytes_of(data, (size_t)got));
        good = tail.state != LOG_TAIL_TORN || cut(file, name, size, tail.end, error);
    }
    free(data);
    return good;
}

static bool mend_newest(struct disk *store, struct error *error) {
    uint64_t newest = 0;
    char name[32];
    if (!store->ops->list(store, ".", note_newest, &newest, error)) {
        return false;
    }
    if (newest == 0) {
        return true;
    }
    snprintf(name, sizeof name, "%06" PRIu64 ".log", newest);
    struct disk_file *file = store->ops->open(store, name, false, error);
    if (file == NULL) {
        return false;
    }
    bool good = mend(file, name, error);
    store->ops->close(file);
    return good;
}

/* LevelDB's own lock, which keeps one process off the store of another. -1: there is no store, or
 * it is not for us, which LevelDB finds out by itself. */
static int lock_store(const char *directory) {
    char path[4200];
    snprintf(path, sizeof path, "%s/LOCK", directory);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor >= 0 && fcntl(descriptor, F_SETLK, &whole) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

bool log_tail_mend(const char *directory, struct error *error) {
    int lock = lock_store(directory);
    if (lock < 0) {
        return true;
    }
    struct disk *store = posix_disk_new(directory, error);
    bool good = store != NULL && mend_newest(store, error);
    if (store != NULL) {
        store->ops->free(store);
    }
    close(lock);
    return good;
}
