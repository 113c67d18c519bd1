/* Writing a damaged or missing copy of an object anew, from one that is good.
 *
 * The copy is written under the payload id that it has, so the record's locations stay true. A
 * copy that the record does not tell of (any more) is left alone, and one that turns out to be good
 * is too, so a repair may be asked for again and again. Blocks until it is done: repairer.h does it
 * in the background. Any thread; not two at once for the same copy. */
#ifndef WAYBILL_REPAIR_COPY_REPAIR_H
#define WAYBILL_REPAIR_COPY_REPAIR_H

#include "common/base/stop_signal.h"
#include "object-svc/read/object_reader.h"
#include "object-svc/upstream/object_catalog.h"

/* Which copy; a plain value. */
struct repair_copy {
    enum object_tier tier; /* hot: this replica's */
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char key[NAME_KEY_MAX_BYTES + 1];
    int64_t version; /* the object's: that of the record that brought the payload */
    struct uuid payload_id;
};

struct repair_ports {
    struct object_reader_ports reader; /* its on_corrupt is not used */
    struct object_catalog catalog;
    struct stop_signal *stop; /* raised: give up soon, with CANCELLED; NULL: never */
};

enum repair_outcome {
    REPAIR_DONE,       /* written anew and verified */
    REPAIR_NOT_NEEDED, /* it is good */
    REPAIR_OBSOLETE,   /* no record says (any more) that it is there: left alone, or taken back */
};

/* DATA_LOSS where every other copy is damaged or missing too: then only a backup helps. Any other
 * error: worth trying again. */
bool copy_repair_run(const struct repair_ports *ports, const struct repair_copy *copy, enum repair_outcome *outcome,
                     struct error *error);

#endif
