/* The cold store in a bucket of an S3 server: each object one S3 object of its bytes,
 * `<prefix>/<bucket>/<key>/@<version>`, with its provenance in x-amz-meta-waybill-* headers,
 * and beside it `@<version>.json`, the same sidecar as in the directory, whose block checksums
 * let any range be verified. docs/formats/cold-store.md describes both.
 *
 * Readers that go through an object in order are read ahead of (cold_s3_ahead.h).
 *
 * Objects larger than a part are uploaded in parts, several at once (cold_s3_sender.h); besides
 * those a writer holds one in memory. The server verifies each part (SHA-256 and CRC32C).
 *
 * Before a multipart upload begins its object's name goes to a file in `uploads_directory`,
 * and away when the upload has ended; what is found there at the start is aborted, and what could
 * not be aborted is tried again before the next upload. So a replica aborts only what it began.
 *
 * An object's name in S3 has at most 1024 bytes; one that has more is refused with
 * INVALID_ARGUMENT, BAD_OBJECT_NAME. */
#ifndef WAYBILL_COLD_COLD_S3_H
#define WAYBILL_COLD_COLD_S3_H

#include "object-svc/cold/cold_store.h"
#include "object-svc/cold/s3/s3_client.h"

/* Borrowed during the opening. */
struct cold_s3_options {
    struct s3_options client;
    const char *prefix;            /* "" for none; without '/' at its ends */
    int64_t part_bytes;            /* at least 5 MiB */
    int64_t parallel_parts;        /* of all uploads, at once */
    int64_t upload_bytes;          /* most bytes of parts on their way at once */
    int64_t ahead_bytes;           /* most bytes that are read ahead of readers; 0: none */
    const char *uploads_directory; /* made where missing; its parent must be there */
};

/* A server that is away is no error, it may come; one that refuses is, and to be given up meanwhile. */
struct cold_store *cold_s3_open(const struct cold_store_options *options, struct error *error);

#endif
