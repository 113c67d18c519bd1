/* Copies the objects of one cold store to another: those that it has not got yet, each verified
 * after it is written. What was copied before is known by looking at the other store, so a copying
 * that broke off goes on by itself. Objects may come and go meanwhile. One thread. */
#ifndef WAYBILL_MIGRATE_COLD_COPIER_H
#define WAYBILL_MIGRATE_COLD_COPIER_H

#include "common/base/pace.h"
#include "common/base/stop_signal.h"
#include "object-svc/cold/cold_store.h"

struct cold_copier {
    struct cold_store *from;
    struct cold_store *to;
    struct pace pace;
    struct stop_signal *stop;
    /* Told of each object: what became of it, and how many bytes were copied. */
    void (*advance)(void *self, uint64_t copied_objects, uint64_t copied_bytes, uint64_t present_objects);
    /* Told of each that could not be copied. */
    void (*failed)(void *self, const struct cold_name *name, const struct error *error);
    void *self;
};

/* Goes through all objects once. False when it could not go on: CANCELLED after stop, or a store
 * that is away. */
bool cold_copier_run(struct cold_copier *copier, struct error *error);

#endif
