/* Which uploads can be resumed, and which of those wait for it: in memory only, as all tables. A
 * BEGIN frame says under which upload id, so a restart knows it too. */
#include <assert.h>

#include "metadata-svc/spool/spool_parts.h"

struct partial *partial_find(struct payload_spool *spool, const struct uuid *upload_id) {
    struct partial *partial = NULL;
    HASH_FIND(hh, spool->partials, upload_id->raw, sizeof upload_id->raw, partial);
    return partial;
}

struct partial *partial_add(struct payload_spool *spool, struct payload *payload) {
    assert(payload->partial == NULL && !uuid_is_zero(&payload->upload_id));
    struct partial *partial = calloc(1, sizeof *partial);
    if (partial == NULL) {
        abort();
    }
    partial->upload_id = payload->upload_id;
    partial->payload = payload;
    payload->partial = partial;
    HASH_ADD(hh, spool->partials, upload_id.raw, sizeof partial->upload_id.raw, partial);
    return partial;
}

void partial_suspend(struct payload_spool *spool, struct partial *partial) {
    assert(!partial->suspended);
    partial->suspended = true;
    partial->idle_from_us = clock_monotonic_us(spool->clock);
    partial->previous = spool->idle_last;
    partial->next = NULL;
    *(spool->idle_last != NULL ? &spool->idle_last->next : &spool->idle_first) = partial;
    spool->idle_last = partial;
    spool->idle_uploads++;
    spool->idle_bytes += partial->payload->spooled_bytes;
}

void partial_resume(struct payload_spool *spool, struct partial *partial) {
    assert(partial->suspended);
    partial->suspended = false;
    *(partial->previous != NULL ? &partial->previous->next : &spool->idle_first) = partial->next;
    *(partial->next != NULL ? &partial->next->previous : &spool->idle_last) = partial->previous;
    spool->idle_uploads--;
    spool->idle_bytes -= partial->payload->spooled_bytes;
}

void partial_end(struct payload_spool *spool, struct partial *partial) {
    if (partial->suspended) {
        partial_resume(spool, partial);
    }
    partial->payload->partial = NULL;
    HASH_DEL(spool->partials, partial);
    free(partial);
}

bool partial_give_up_oldest_of(struct payload_spool *spool, uint64_t bucket_key) {
    struct partial *partial = spool->idle_first;
    while (partial != NULL && partial->payload->bucket_key != bucket_key) {
        partial = partial->next;
    }
    if (partial != NULL) {
        payload_give_up(spool, partial->payload);
    }
    return partial != NULL;
}

bool partial_give_up_oldest(struct payload_spool *spool) {
    if (spool->idle_first == NULL) {
        return false;
    }
    payload_give_up(spool, spool->idle_first->payload);
    return true;
}
