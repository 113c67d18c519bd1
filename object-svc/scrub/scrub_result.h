/* What a scrub has found so far: counts, and the findings themselves, as far as they fit. The
 * scrub writes it while others read. Any thread. */
#ifndef WAYBILL_SCRUB_SCRUB_RESULT_H
#define WAYBILL_SCRUB_SCRUB_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/uuid.h"
#include "object-svc/upstream/object_report.h"

/* Findings that are kept; more are only counted. */
enum { SCRUB_FINDINGS_MAX = 10000 };

/* Numbers of these enums are those of proto/waybill/v1. */
enum scrub_phase {
    SCRUB_RECORDS_TO_HOT = 1,  /* reads what ought to be in this replica's hot volumes */
    SCRUB_RECORDS_TO_COLD = 2, /* the same for the cold store */
    SCRUB_HOT_TO_RECORDS = 3,  /* asks who needs what is in the hot volumes */
    SCRUB_COLD_TO_RECORDS = 4, /* the same for the cold store */
    SCRUB_DONE = 5,
};

enum scrub_kind {
    SCRUB_CORRUPT = 1,  /* the copy's bytes are not what the record says, or cannot be read */
    SCRUB_MISSING = 2,  /* the record says that there is a copy, and there is none */
    SCRUB_ORPHANED = 3, /* no version needs the object */
    SCRUB_UNLISTED = 4, /* a version needs it, but its record does not tell of this copy */
};
enum { SCRUB_KINDS = 5 };

enum scrub_action {
    SCRUB_NO_ACTION = 0,   /* not asked for */
    SCRUB_REPAIRED = 1,    /* written anew from another copy; or told to the record */
    SCRUB_QUARANTINED = 2, /* copied to the quarantine, then removed */
    SCRUB_ACTION_FAILED = 3,
    SCRUB_NEEDLESS = 4, /* somebody else was quicker: then it is no finding */
};

struct scrub_finding {
    enum scrub_kind kind;
    enum object_tier tier;
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char key[NAME_KEY_MAX_BYTES + 1];
    int64_t version;        /* the one that brought the payload */
    struct uuid payload_id; /* zero where it is not known */
    enum scrub_action action;
    char message[ERROR_MESSAGE_BYTES]; /* what is wrong and, where the action failed, why */
};

struct scrub_counts {
    enum scrub_phase phase;
    uint64_t objects;            /* checked, either way */
    uint64_t bytes;              /* read */
    uint64_t found[SCRUB_KINDS]; /* by scrub_kind */
    uint64_t repaired;
    uint64_t quarantined;
    uint64_t failed; /* actions */
};

struct scrub_result;

struct scrub_result *scrub_result_new(void);
void scrub_result_free(struct scrub_result *result);

void scrub_result_enter(struct scrub_result *result, enum scrub_phase phase);
void scrub_result_progress(struct scrub_result *result, uint64_t objects, uint64_t bytes);
void scrub_result_add(struct scrub_result *result, const struct scrub_finding *finding);

void scrub_result_counts(struct scrub_result *result, struct scrub_counts *counts);
/* Copies up to `max` findings from number `first` on; returns how many. */
size_t scrub_result_findings(struct scrub_result *result, size_t first, struct scrub_finding *findings, size_t max);

const char *scrub_kind_name(enum scrub_kind kind);
const char *scrub_action_name(enum scrub_action action);

#endif
