/* Objects that are durable in the hot store and that metadata-svc was not told of, since it could not
 * be reached: their events may be delivered to another replica meanwhile, or to none, where their
 * versions are gone. So whoever has stored them keeps asking; else they stay as orphans. Over a kill they
 * are known by their notes (ingest_notes.h).
 *
 * A plain queue, the oldest first. Bounded: beyond UNREPORTED_MAX the oldest are forgotten, and left to
 * a scrub. One thread. */
#ifndef WAYBILL_INGEST_UNREPORTED_H
#define WAYBILL_INGEST_UNREPORTED_H

#include <stdbool.h>
#include <stddef.h>

#include "object-svc/hot/provenance.h"
#include "object-svc/upstream/object_report.h"

enum { UNREPORTED_MAX = 65536 };

struct unreported;

struct unreported *unreported_new(size_t most);
void unreported_free(struct unreported *left);

/* Copies what a report needs; one that is there stays as it is. */
void unreported_add(struct unreported *left, const struct provenance *provenance);
/* It was told of, or given up. One that is not there is no error. */
void unreported_remove(struct unreported *left, const struct uuid *payload_id);
size_t unreported_count(const struct unreported *left);
/* The oldest ones, as reports that borrow until they are removed; returns how many. */
size_t unreported_oldest(const struct unreported *left, struct object_report *reports, size_t max);

#endif
