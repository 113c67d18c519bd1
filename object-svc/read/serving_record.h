/* Which version of a record a call is about: the one it names, or the one that readers get. Read
 * from metadata-svc each time, so that a writer finds its own write at once. Any thread. */
#ifndef WAYBILL_READ_SERVING_RECORD_H
#define WAYBILL_READ_SERVING_RECORD_H

#include "object-svc/upstream/metadata_client.h"

/* As a caller says it. */
struct serving_query {
    const char *bucket;
    const char *key;
    int64_t version;     /* 0: the serving one */
    bool has_if_version; /* the latest version must be if_version */
    int64_t if_version;
};

/* INVALID_ARGUMENT for a bad name or version; ABORTED (VERSION_MISMATCH); FAILED_PRECONDITION
 * (PAYLOAD_NOT_STORED) where no version can be read yet; else as metadata-svc answers. */
bool serving_record_find(struct metadata_client *metadata, const struct serving_query *query, struct arena *arena,
                         Waybill__V1__Record **record, struct error *error);

#endif
