/* Entries of payloads that are in flight, or failed and kept for another try, each with its timer.
 *
 * A payload has one timer at most, for whatever comes first: the next redrive, its deadline, or the
 * end of its being kept. The entry says when that is; a timer that is due at another time is of
 * the past. So whoever settles a payload takes its timer away without a look-up. Used by the
 * commit engine only. */
#ifndef WAYBILL_COMMIT_PAYLOAD_ENTRIES_H
#define WAYBILL_COMMIT_PAYLOAD_ENTRIES_H

#include "metadata-svc/commit/change_builder.h"

/* Puts the entry of the record's payload with the timer that the record's state asks for;
 * entry->due_us, which is replaced, tells of the one it had. */
void payload_entry_put(struct change_builder *builder, const struct record *record, struct payload_entry *entry,
                       struct arena *arena);
/* The same, but a staged payload is looked at again as soon as after the first time. */
void payload_entry_put_soon(struct change_builder *builder, const struct record *record, struct payload_entry *entry,
                            struct arena *arena);
/* Takes entry and timer away. */
void payload_entry_remove(struct change_builder *builder, const struct record *record,
                          const struct payload_entry *entry, struct arena *arena);

#endif
