/* Objects that no version needs any more, as metadata-svc, or a simulator's stand-in, tells of them.
 * What is told stays true; it is told again until it is reported DROPPED with its due time. Any
 * thread. */
#ifndef WAYBILL_UPSTREAM_DROP_SOURCE_H
#define WAYBILL_UPSTREAM_DROP_SOURCE_H

#include "object-svc/upstream/object_catalog.h"

enum { DROP_PAGE_MAX = 500 };

struct object_drop {
    struct object_name object; /* in the arena, as the array of these */
    int64_t due_us;
};

struct drop_source {
    /* The next page of what is due in this tier (hot: of this replica), at most DROP_PAGE_MAX, the oldest
     * first. `page_token` is "" at the begin and again after the last page. */
    bool (*list)(void *self, enum object_tier tier, struct arena *arena, const char **page_token,
                 struct object_drop **drops, size_t *count, struct error *error);
    void *self;
};

struct drop_source metadata_client_drop_source(struct metadata_client *client);

#endif
