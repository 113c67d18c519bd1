/* What an object says of itself, made from its record. */
#ifndef WAYBILL_UPSTREAM_RECORD_PROVENANCE_H
#define WAYBILL_UPSTREAM_RECORD_PROVENANCE_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "object-svc/hot/provenance.h"
#include "waybill/v1/record.pb-c.h"

/* The provenance borrows from the record and the arena. INVALID_ARGUMENT, BAD_RECORD or the reason
 * of a bad name, where the record does not describe a payload. */
bool record_provenance(const Waybill__V1__Record *record, struct arena *arena, struct provenance *provenance,
                       struct error *error);

#endif
