/* The object index of the simulator: object_index.h over a simulated key-value store instead of
 * LevelDB. The linker takes it in place of object-svc/hot/object_index.c; a store of hot volumes is
 * told by its index directory which one is its own, and so are dead letters (sim_letters.c). */
#ifndef WAYBILL_SIM_INDEX_H
#define WAYBILL_SIM_INDEX_H

#include "tests/simulation/sim_kv.h"

/* `directory` outlives it. NULL takes the place back. */
void sim_index_place(const char *directory, struct sim_kv *store);
/* Whose place it is; NULL: nobody's. */
struct sim_kv *sim_index_find(const char *directory);

#endif
