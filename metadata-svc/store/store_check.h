/* Whether the record store is whole, and what can be done where it is not.
 *
 * LevelDB checksums all it has, and with paranoid_checks it does not open a damaged write-ahead
 * log. What it cannot tell is that commits are missing: revisions can, since they are
 * contiguous. */
#ifndef WAYBILL_STORE_STORE_CHECK_H
#define WAYBILL_STORE_STORE_CHECK_H

#include "common/base/error.h"
#include "metadata-svc/store/kv.h"

/* DATA_LOSS (CHANGE_LOG_GAP) unless the newest `count` entries of the change log follow on each
 * other, down to its oldest. */
bool store_check_newest(struct kv *kv, int64_t count, struct error *error);

struct store_repair_report {
    int64_t changes_dropped;     /* entries of the change log below a gap */
    int64_t oldest, newest;      /* revisions of what is left of it */
    int64_t records;             /* latest versions that can be read */
    int64_t damaged;             /* latest versions that cannot; they stay, and reading them fails */
    char first_damaged[64 + 65]; /* the start of the name of one of them */
};

/* For a store that LevelDB could open: cuts the change log down to the newest part without a gap
 * and reads every record. DATA_LOSS (RECORDS_AHEAD_OF_LOG) when there are records newer than
 * all of the change log: then nothing is changed, since their revisions would be used again.
 * Not while a service uses the store. */
bool store_repair(struct kv *kv, struct store_repair_report *report, struct error *error);

#endif
