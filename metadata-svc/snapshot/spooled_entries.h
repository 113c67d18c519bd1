/* The payloads that the records of one state of the store want the spool to have. */
#ifndef WAYBILL_SNAPSHOT_SPOOLED_ENTRIES_H
#define WAYBILL_SNAPSHOT_SPOOLED_ENTRIES_H

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record_store.h"

/* Valid during the call. False ends the walk, with the error filled. */
typedef bool spooled_visitor(void *context, const struct uuid *id, const struct payload_entry *entry,
                             struct error *error);

/* In the order of their ids. */
bool spooled_entries_each(struct kv_cursor *cursor, spooled_visitor *visit, void *context, struct error *error);

#endif
