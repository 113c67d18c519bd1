/* Zeroed blocks ahead of the end of LevelDB's log, so that a flush of it writes its own bytes and
 * nothing else. Where the file grows with each write, every flush waits for a commit of the file
 * system's journal too: more than a third of its time on ext4.
 *
 * LevelDB knows nothing of it: it writes on where it was, over zeros, and its reader passes over
 * those that are left. The blocks are written, not only reserved, by a thread of its own, which
 * only ever writes behind the end of the file, and keeps well ahead of LevelDB: it is told of each
 * write before, and lets none come near while it is at work. A log file that LevelDB begins is
 * noticed by inotify.
 *
 * It asks of the store that every batch is flushed before the next one is written; what that is
 * good for tells log_tail.h. */
#ifndef WAYBILL_STORE_LOG_RUNWAY_H
#define WAYBILL_STORE_LOG_RUNWAY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/disk.h"

struct log_runway;

/* Keeps up to `ahead_bytes` ahead in the store that will be opened in `directory`, which is made where
 * it is missing. Borrows `writing`, the lock of writes to the store. NULL where the system does not let
 * it: the store works without. */
struct log_runway *log_runway_start(const char *directory, uint64_t ahead_bytes, pthread_mutex_t *writing);
void log_runway_stop(struct log_runway *runway);

/* Before each write to the log, of a batch of at most that size in LevelDB's form. The caller holds
 * `writing` from here until it is written. */
void log_runway_expect(struct log_runway *runway, size_t batch_bytes);

#endif
