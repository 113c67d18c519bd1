/* A cold store that can move: in front of the configured store, and of a second one while there
 * is a migration. All of object-svc uses this one, and notices nothing.
 *
 *   COLD_FIRST_ONLY    no migration
 *   COLD_FIRST_LEADS   writes go to both, and count only when both have them; reads from the first
 *   COLD_SECOND_LEADS  the same, reads from the second
 *   COLD_SECOND_ONLY   the migration is over
 *
 * While one leads, the other is read where the leader has not got the object or is damaged. Removals
 * take the first store's copy first. Any thread. */
#ifndef WAYBILL_MIGRATE_COLD_PAIR_H
#define WAYBILL_MIGRATE_COLD_PAIR_H

#include "object-svc/cold/cold_store.h"

enum cold_pair_mode { COLD_FIRST_ONLY, COLD_FIRST_LEADS, COLD_SECOND_LEADS, COLD_SECOND_ONLY };

struct cold_pair;

/* Takes the first store over. */
struct cold_pair *cold_pair_new(struct cold_store *first);
/* The store to hand out; closing it closes the pair and both stores. */
struct cold_store *cold_pair_store(struct cold_pair *pair);

/* Takes the second store over; the one before it, if there was one, is kept until the pair is
 * closed, since readers may still use it. False, and nothing is taken, where too many are kept. */
bool cold_pair_set_second(struct cold_pair *pair, struct cold_store *second);
void cold_pair_set_mode(struct cold_pair *pair, enum cold_pair_mode mode);
struct cold_store *cold_pair_first(struct cold_pair *pair);
struct cold_store *cold_pair_second(struct cold_pair *pair);
/* Whether some writers still write to one store only, since they began before a change of mode. */
bool cold_pair_has_single_writers(struct cold_pair *pair);

#endif
