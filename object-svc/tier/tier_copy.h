/* The bytes of a move: from one tier to the other, verified at both ends, piece by piece. */
#ifndef WAYBILL_TIER_TIER_COPY_H
#define WAYBILL_TIER_TIER_COPY_H

#include "object-svc/tier/tier_moves.h"

/* Durable and read back on return. `settled` is false where it is not known whether the cold store has a copy now. */
bool tier_copy_to_cold(struct cold_store *cold, struct hot_reader *reader, const struct tier_move *move, bool *settled,
                       struct error *error);
/* Durable on return. Its age in hot begins anew. */
bool tier_copy_to_hot(struct hot_store *hot, struct cold_reader *reader, const struct tier_move *move,
                      struct error *error);

#endif
