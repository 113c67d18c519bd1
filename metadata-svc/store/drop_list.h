/* The list of objects that are to be dropped from the places that have them (`d` in layout.h), as time
 * passes over it: what a replica does not come for is not kept for ever. Any thread. */
#ifndef WAYBILL_STORE_DROP_LIST_H
#define WAYBILL_STORE_DROP_LIST_H

#include "common/base/error.h"
#include "metadata-svc/store/kv.h"

/* Removes up to max_entries entries that were due before due_before_us, of any place. Returns how many, or -1.
 * An object that a place still has is then one that no record needs, as a scrub there finds. */
int64_t drop_list_trim(struct kv *kv, int64_t due_before_us, int64_t max_entries, struct error *error);

#endif
