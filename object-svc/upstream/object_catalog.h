/* What the records say of objects: metadata-svc, or a simulator's stand-in. For whoever compares
 * a store with them. It changes nothing; what it tells was durable when it was asked. Any thread. */
#ifndef WAYBILL_UPSTREAM_OBJECT_CATALOG_H
#define WAYBILL_UPSTREAM_OBJECT_CATALOG_H

#include "object-svc/upstream/metadata_client.h"

enum { OBJECT_CATALOG_MAX = 1000 };

/* An object by the version that brought its payload; borrows. */
struct object_name {
    const char *bucket;
    const char *key;
    int64_t version;
    struct uuid payload_id; /* zero: not known; then it is not found if versions only share it */
};

/* Numbers are those of proto/waybill/v1. */
enum object_standing {
    OBJECT_EXPECTED = 1, /* it ought to be there */
    OBJECT_UNLISTED = 2, /* a version needs its bytes, but none says that they are there */
    OBJECT_OBSOLETE = 3, /* no version needs its bytes */
};

struct object_check {
    enum object_standing standing;
    const Waybill__V1__Record *record; /* NULL where it is obsolete */
};

struct object_catalog {
    /* What the records say of each in this tier (hot: of this replica); at most
     * OBJECT_CATALOG_MAX. */
    bool (*check)(void *self, enum object_tier tier, const struct object_name *names, size_t count, struct arena *arena,
                  struct object_check *checks, struct error *error);
    /* The next page of what ought to be in the tier, of one bucket or, "", of all. `page_token`
     * is "" at the begin and again after the last page; a page may be empty. An object may come
     * twice. */
    bool (*list)(void *self, enum object_tier tier, const char *bucket, struct arena *arena, const char **page_token,
                 Waybill__V1__Record ***records, size_t *count, struct error *error);
    void *self;
};

struct object_catalog metadata_client_object_catalog(struct metadata_client *client);

#endif
