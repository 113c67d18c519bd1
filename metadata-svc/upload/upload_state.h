/* What the record store knows of an upload: whether its payload is awaited, or has taken effect.
 *
 * A finished upload is remembered as a request that took effect: one that makes a record of its own
 * under its request_id, an announced one under its upload id. So whoever did not get the answer gets
 * it again, for as long as requests are remembered. */
#ifndef WAYBILL_UPLOAD_UPLOAD_STATE_H
#define WAYBILL_UPLOAD_UPLOAD_STATE_H

#include "metadata-svc/store/record_store.h"

struct upload_state {
    enum {
        UPLOAD_UNKNOWN,     /* the store knows nothing of it */
        UPLOAD_AWAITED,     /* record: as it was announced */
        UPLOAD_NOT_AWAITED, /* any more, and how it ended is forgotten, or it failed. record: the announced version */
        UPLOAD_TOOK_EFFECT, /* record: the answer; fingerprint: of the request, the bytes included */
    } kind;
    struct record record;
    struct fingerprint fingerprint;
};

/* False only when the store failed. */
bool upload_state_find(struct kv *kv, const struct uuid *upload_id, struct arena *arena, struct upload_state *state,
                       struct error *error);

#endif
