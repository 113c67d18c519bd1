/* What a `staged` change event says of the payload to store. */
#ifndef WAYBILL_INGEST_STAGED_CHANGE_H
#define WAYBILL_INGEST_STAGED_CHANGE_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "object-svc/hot/provenance.h"

struct staged_change {
    struct provenance provenance; /* in the arena */
    int64_t commit_us;            /* when the change was committed */
};

/* Reads an encoded ChangeEvent. False with INVALID_ARGUMENT (BAD_EVENT) when it is no staged
 * change: then no delivery will ever make it one. */
bool staged_change_read(struct bytes event, struct arena *arena, struct staged_change *change, struct error *error);

#endif
