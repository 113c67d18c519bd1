/* A batch in the making: what is put or deleted in it is seen by look-ups through it, over
 * the durable store below. One thread. */
#ifndef WAYBILL_COMMIT_OVERLAY_H
#define WAYBILL_COMMIT_OVERLAY_H

#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record_store.h"

struct overlay_entry;

struct overlay {
    struct kv *kv;
    struct arena arena; /* keys and values of the batch */
    struct overlay_entry *entries;
    struct kv_batch batch;
};

void overlay_init(struct overlay *overlay, struct kv *kv);
void overlay_free(struct overlay *overlay);
/* Forgets everything; the next batch begins. */
void overlay_clear(struct overlay *overlay);
/* Key and value are copied. */
void overlay_put(struct overlay *overlay, struct bytes key, struct bytes value);
/* The same for what no look-up of this batch asks for: cheaper. */
void overlay_append(struct overlay *overlay, struct bytes key, struct bytes value);
void overlay_delete(struct overlay *overlay, struct bytes key);
/* Whether there is any key that begins with `prefix`. False only when the store failed. */
bool overlay_any_under(struct overlay *overlay, struct bytes prefix, bool *any, struct error *error);
struct kv_lookup overlay_lookup(struct overlay *overlay);

#endif
