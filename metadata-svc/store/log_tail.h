/* The end of LevelDB's log, looked at before the store is opened.
 *
 * Blocks of the log are zeroed ahead (log_runway.h), so a write that the power cut off leaves a
 * record with sectors that are still zero, where else the file would just end. LevelDB takes
 * that for damage and does not open the store. But every batch is flushed before the next one is
 * written: what is incomplete, and followed by no other batch, was never acknowledged. It is cut
 * off here. Whatever else is wrong with a log is left to LevelDB, which refuses it.
 *
 * The format is LevelDB's: doc/log_format.md of its source. */
#ifndef WAYBILL_STORE_LOG_TAIL_H
#define WAYBILL_STORE_LOG_TAIL_H

#include "common/base/disk.h"

enum log_tail_state {
    LOG_TAIL_WHOLE,
    LOG_TAIL_TORN,    /* the last batch is not all there */
    LOG_TAIL_DAMAGED, /* in another way than a write that was cut off leaves it */
};

struct log_tail {
    enum log_tail_state state;
    uint64_t end; /* where a torn batch begins */
};

/* What a log of that content ends in. */
struct log_tail log_tail_of(struct bytes log);

/* Cuts a torn batch off the newest log of the store in that directory, and says so in our own log.
 * Nothing is done to a store that another process has open, or that is not there. */
bool log_tail_mend(const char *directory, struct error *error);

/* Whether it is the name of a file of LevelDB's of that kind, such as ".ldb", and its number. */
bool numbered_name_parse(const char *name, const char *suffix, uint64_t *number);
/* The same for a log. */
bool log_name_parse(const char *name, uint64_t *number);

#endif
