/* What an object says of itself, made from its record; and the record that it tells of. */
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

/* The way back, for rebuilding lost records: a STORED record of the version that brought the payload,
 * without locations; its store time is the object's. `revision` is one that the version had before the object was
 * made, 0 where that is not known. It borrows from the provenance and the arena. DATA_LOSS,
 * DESCRIPTOR_UNREADABLE where the descriptor is not what record_provenance makes. */
Waybill__V1__Record *provenance_record(const struct provenance *provenance, struct arena *arena, struct error *error);

#endif
