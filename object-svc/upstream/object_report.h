/* What this replica did with an object, as it tells metadata-svc. Numbers of the enums are
 * those of proto/waybill/v1. */
#ifndef WAYBILL_UPSTREAM_OBJECT_REPORT_H
#define WAYBILL_UPSTREAM_OBJECT_REPORT_H

#include "common/base/error.h"
#include "common/base/uuid.h"

enum object_tier { OBJECT_TIER_NONE = 0, OBJECT_TIER_HOT = 1, OBJECT_TIER_COLD = 2 };
enum object_outcome { OBJECT_STORED = 1, OBJECT_TIERED = 2, OBJECT_FAILED = 3, OBJECT_DROPPED = 4 };
enum report_verdict { REPORT_ACCEPTED = 1, REPORT_OBSOLETE = 2, REPORT_REJECTED = 3 };

struct object_report {
    const char *bucket; /* borrowed while it is being reported */
    const char *key;
    int64_t version;
    struct uuid payload_id;
    enum object_outcome outcome;
    enum object_tier tier;
    enum object_tier drop_tier; /* whose copy goes once this is accepted */
    int64_t drop_due_us;        /* DROPPED, as told by drop_source.h; 0: none */
    uint64_t size_bytes;
    uint32_t crc32c;
    /* For OBJECT_FAILED: why, and after how many attempts. */
    const char *error_reason; /* NULL: none */
    const char *error_message;
    uint32_t attempts;
    /* Filled by reporting. */
    enum report_verdict verdict;
};

/* Where reports go: metadata-svc, or a simulator's stand-in. Any thread. */
struct report_sink {
    /* Commits the reports and fills the verdicts; false when it is not known whether it did:
     * reporting again is harmless. */
    bool (*report)(void *self, struct object_report *reports, size_t count, struct error *error);
    void *self;
};

#endif
