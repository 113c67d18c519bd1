/* One scrub: every object that ought to be there is read and held to its record, and every object
 * that is there is held to the records.
 *
 *   records ▸ hot volumes, cold store    finds what is corrupt or missing
 *   hot volumes, cold store ▸ records    finds what nobody needs, and what no record tells of
 *
 * Work goes on meanwhile: what looks wrong is looked at again, against the record as it is then,
 * before it counts; objects that nobody seems to need only after SCRUB_CONFIRM_MS, so that
 * whoever is about to remove or report them has had the time.
 *
 * Nothing is changed unless the options say so: with `repair` damaged and missing copies are
 * written anew from good ones, and unlisted ones told to metadata-svc; with `quarantine` orphans are
 * copied to the quarantine before they are removed. What cannot be copied there whole stays where it
 * is. One thread. */
#ifndef WAYBILL_SCRUB_SCRUB_CORE_H
#define WAYBILL_SCRUB_SCRUB_CORE_H

#include "common/base/pace.h"
#include "common/base/stop_signal.h"
#include "object-svc/repair/copy_repair.h"
#include "object-svc/scrub/scrub_result.h"
#include "object-svc/tier/move_guard.h"

enum { SCRUB_CONFIRM_MS = 2000 };

struct scrub_ports {
    struct repair_ports repair; /* with the stores and the catalog; its `stop` ends the scrub */
    struct report_sink sink;
    struct cold_store *quarantine;
    const struct clock *clock;
    struct move_guard *guard; /* NULL where nobody moves objects */
    /* Told of each finding; may be NULL. */
    void (*found)(void *self, const struct scrub_finding *finding);
    void *self;
};

struct scrub_options {
    char bucket[NAME_BUCKET_MAX_BYTES + 1]; /* "": all */
    bool repair;
    bool quarantine;
    bool hot_only;            /* leaves the cold store, which replicas share, to another replica */
    int64_t bytes_per_second; /* read at most; 0: no limit */
    int64_t confirm_ms;
};

/* False when it could not go on to its end: CANCELLED after stop, or a dependency that is away.
 * What was found until then is in the result. */
bool scrub_core_run(const struct scrub_ports *ports, const struct scrub_options *options, struct scrub_result *result,
                    struct error *error);

#endif
