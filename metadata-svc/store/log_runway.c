#include "metadata-svc/store/log_runway.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "metadata-svc/store/directory_watch.h"
#include "metadata-svc/store/log_tail.h"

enum {
    /* Written, and flushed, at a time: a commit that flushes meanwhile waits for no more. */
    PIECE_BYTES = 256 * 1024,
    /* How far ahead of LevelDB at least: several large batches, so that hardly one has to wait. */
    MARGIN_BYTES = 256 * 1024,
    /* A disk with less is left alone. */
    LEAST_FREE_BYTES = 64 * 1024 * 1024,
    /* What LevelDB's log adds to a batch at most, for each of its blocks and for the first and the
     * last one: a header and the filling of a block's end. */
    BLOCK_BYTES = 32768,
    BLOCK_OVERHEAD_BYTES = 7 + 6,
    LOG_NAME_BYTES = 32,
};

struct log_runway {
    struct disk *disk;
    uint64_t ahead_bytes;
    struct directory_watch watch; /* logs that begin; is woken when the runway is short, and at the end */
    atomic_bool stopping;
    pthread_t thread;

    pthread_mutex_t *writing; /* the store's: held by the one who writes to the log */

    pthread_mutex_t lock;  /* all below */
    pthread_cond_t zeroes; /* a piece is done */
    uint64_t log_end;      /* LevelDB's log ends there or before */
    uint64_t runway_end;   /* the file ends there; 0: has no runway */
    uint64_t piece;        /* where zeros are being written; UINT64_MAX: nowhere */
    bool asked;            /* for more: once until it is there */

    struct disk_file *log; /* the thread's; NULL: none yet, or given up */
    uint8_t zeros[PIECE_BYTES];
};

static uint64_t in_log(size_t batch_bytes) {
    return batch_bytes + (batch_bytes / (BLOCK_BYTES - BLOCK_OVERHEAD_BYTES) + 2) * BLOCK_OVERHEAD_BYTES;
}

static uint64_t piece_after(uint64_t position) {
    return (position + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
}

/* ---- writers ---- */

void log_runway_expect(struct log_runway *runway, size_t batch_bytes) {
    pthread_mutex_lock(&runway->lock);
    runway->log_end += in_log(batch_bytes);
    while (runway->log_end > runway->piece) {
        pthread_cond_wait(&runway->zeroes, &runway->lock);
    }
    bool ask =
        !runway->asked && runway->runway_end > 0 && runway->log_end + runway->ahead_bytes / 2 > runway->runway_end;
    runway->asked |= ask;
    pthread_mutex_unlock(&runway->lock);
    if (ask) {
        directory_watch_wake(&runway->watch);
    }
}

/* ---- the thread ---- */

static void give_up(struct log_runway *runway, const struct error *error) {
    log_warn("record_log_runway_ended", LOG_ERROR(error),
             LOG_STR("hint", "flushes of commits take longer until the next log begins"));
    runway->log->ops->close(runway->log);
    runway->log = NULL;
}

/* From now on it is that log's end that writers move. Between two writes the size of the file,
 * which has no runway yet, is where its log ends. */
static bool begin_log(struct log_runway *runway, struct error *error) {
    uint64_t size = 0;
    pthread_mutex_lock(runway->writing);
    bool good = runway->log->ops->size(runway->log, &size, error);
    pthread_mutex_lock(&runway->lock);
    runway->log_end = size;
    runway->runway_end = 0;
    runway->asked = false;
    pthread_mutex_unlock(&runway->lock);
    pthread_mutex_unlock(runway->writing);
    return good;
}

static void open_log(struct log_runway *runway, const char *name) {
    struct error error = {0};
    if (runway->log != NULL) {
        runway->log->ops->close(runway->log);
    }
    runway->log = runway->disk->ops->open(runway->disk, name, false, &error);
    if (runway->log == NULL) {
        return; /* gone already: LevelDB has begun another one */
    }
    if (!begin_log(runway, &error)) {
        give_up(runway, &error);
    }
}

/* Takes the place for the next piece; false: there are enough. */
static bool claim_piece(struct log_runway *runway) {
    pthread_mutex_lock(&runway->lock);
    uint64_t least = piece_after(runway->log_end + MARGIN_BYTES);
    uint64_t at = runway->runway_end > least ? runway->runway_end : least;
    bool wanted = at < runway->log_end + MARGIN_BYTES + runway->ahead_bytes;
    if (wanted) {
        runway->piece = at;
    } else {
        runway->asked = false;
    }
    pthread_mutex_unlock(&runway->lock);
    return wanted;
}

static void release_piece(struct log_runway *runway, bool good) {
    pthread_mutex_lock(&runway->lock);
    if (good) {
        runway->runway_end = runway->piece + PIECE_BYTES;
    }
    runway->piece = UINT64_MAX;
    pthread_cond_broadcast(&runway->zeroes);
    pthread_mutex_unlock(&runway->lock);
}

/* What lies before the end of the file is never written over, whatever we believe of it. */
static bool zero_piece(struct log_runway *runway, uint64_t at, struct error *error) {
    struct disk_file *log = runway->log;
    struct disk_space space;
    uint64_t size = 0;
    if (!runway->disk->ops->space(runway->disk, &space, error) || !log->ops->size(log, &size, error)) {
        return false;
    }
    if (space.free_bytes < LEAST_FREE_BYTES) {
        return error_set(error, ERROR_RESOURCE_EXHAUSTED, "DISK_FULL", "the disk is nearly full");
    }
    if (size > at) {
        return error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "the log is longer than was reckoned");
    }
    return FAILPOINT("record_log.zero.before") &&
           log->ops->write(log, at, bytes_of(runway->zeros, PIECE_BYTES), error) &&
           FAILPOINT("record_log.zero.written") && log->ops->sync(log, error) && FAILPOINT("record_log.zero.after");
}

static void extend(struct log_runway *runway) {
    while (runway->log != NULL && !atomic_load(&runway->stopping) && claim_piece(runway)) {
        struct error error = {0};
        bool good = zero_piece(runway, runway->piece, &error);
        release_piece(runway, good);
        if (!good) {
            give_up(runway, &error);
        }
    }
}

/* The last of those that began. */
static void note_created(void *context, const char *name, uint32_t mask) {
    (void)mask;
    uint64_t number;
    if (log_name_parse(name, &number)) {
        snprintf(context, LOG_NAME_BYTES, "%s", name);
    }
}

static void *log_runway_loop(void *argument) {
    struct log_runway *runway = argument;
    while (!atomic_load(&runway->stopping)) {
        char begun[LOG_NAME_BYTES] = "";
        directory_watch_wait(&runway->watch, -1, note_created, begun);
        if (begun[0] != '\0') {
            open_log(runway, begun);
        }
        extend(runway);
    }
    return NULL;
}

/* ---- life ---- */

static void free_parts(struct log_runway *runway) {
    if (runway->log != NULL) {
        runway->log->ops->close(runway->log);
    }
    directory_watch_close(&runway->watch);
    if (runway->disk != NULL) {
        runway->disk->ops->free(runway->disk);
    }
    pthread_mutex_destroy(&runway->lock);
    pthread_cond_destroy(&runway->zeroes);
    free(runway);
}

static bool open_parts(struct log_runway *runway, const char *directory, struct error *error) {
    runway->watch = (struct directory_watch){-1, -1};
    runway->disk = posix_disk_new(directory, error);
    return runway->disk != NULL && directory_watch_open(&runway->watch, directory, IN_CREATE, error);
}

struct log_runway *log_runway_start(const char *directory, uint64_t ahead_bytes, pthread_mutex_t *writing) {
    struct error error = {0};
    struct log_runway *runway = calloc(1, sizeof *runway);
    if (runway == NULL) {
        abort();
    }
    runway->ahead_bytes = ahead_bytes;
    runway->piece = UINT64_MAX;
    runway->writing = writing;
    pthread_mutex_init(&runway->lock, NULL);
    pthread_cond_init(&runway->zeroes, NULL);
    if (!open_parts(runway, directory, &error)) {
        log_warn("record_log_runway_missing", LOG_ERROR(&error),
                 LOG_STR("hint", "flushes of commits take longer than they could"));
        free_parts(runway);
        return NULL;
    }
    if (pthread_create(&runway->thread, NULL, log_runway_loop, runway) != 0) {
        abort();
    }
    pthread_setname_np(runway->thread, "log-runway");
    return runway;
}

void log_runway_stop(struct log_runway *runway) {
    if (runway == NULL) {
        return;
    }
    atomic_store(&runway->stopping, true);
    directory_watch_wake(&runway->watch);
    pthread_join(runway->thread, NULL);
    free_parts(runway);
}
