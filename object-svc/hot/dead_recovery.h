/* Bringing the index and the volumes' dead lists together at start.
 *
 * What a list has past the dead bytes that the index noted, the index did not hear of: entries
 * that point to those needles go. What the index noted, but the list does not have whole, was
 * taken by power loss or damage: the list is made anew, since all needles that the index has read
 * and does not point to are dead. A list without its volume is removed. */
#ifndef WAYBILL_HOT_DEAD_RECOVERY_H
#define WAYBILL_HOT_DEAD_RECOVERY_H

#include "object-svc/hot/volume_store_parts.h"

/* `lists`: the volumes that have one on the disk, ascending. Nobody else uses the store. */
bool dead_recovery_run(struct volume_store *store, const uint64_t *lists, size_t count, struct error *error);

#endif
