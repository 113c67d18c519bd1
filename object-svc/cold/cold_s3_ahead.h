/* Reads ahead of readers that go through large objects in order: what follows is asked for while
 * the reader works on what came before, several ranges at once, so that a read is not bound to one
 * request after the other.
 *
 * A reader that begins, or jumps, gets what it asks for and no more. Once it has read
 * S3_AHEAD_BEGIN_BYTES in order, the ranges that follow are asked for, never more of them than it has
 * read already. All readers together hold at most `max_bytes`, each its share; one that gets
 * none reads as if there were no reading ahead, so nobody waits for another's bytes.
 *
 * A range that no thread has begun when its reader needs it is read by the reader itself. Ranges that
 * nobody wants any more are given up, also in mid-request.
 *
 * Any thread may read; a reader belongs to one. Each thread of the store runs one loop and ends with
 * s3_ahead_free, once every reader is freed. */
#ifndef WAYBILL_COLD_COLD_S3_AHEAD_H
#define WAYBILL_COLD_COLD_S3_AHEAD_H

#include "object-svc/cold/s3/s3_client.h"

enum {
    S3_AHEAD_THREADS_MAX = 8,
    S3_AHEAD_BEGIN_BYTES = 1024 * 1024,
    S3_AHEAD_RANGE_BYTES = 2 * 1024 * 1024, /* asked for with one request */
    S3_AHEAD_RANGES_MAX = 8,                /* of one reader */
};

struct s3_ahead;
struct s3_ahead_reader;

/* Borrows the client. No threads, or less room than one range: nothing is read ahead. */
struct s3_ahead *s3_ahead_new(struct s3_client *client, int64_t threads, uint64_t max_bytes);
void s3_ahead_free(struct s3_ahead *ahead);

/* For the object of that S3 name, which is copied, and size. */
struct s3_ahead_reader *s3_ahead_reader_new(struct s3_ahead *ahead, const char *key, uint64_t size_bytes);
/* Reads exactly that range, which lies in the object and is not empty. False: the error of
 * s3_client_do; or `absent`, which is set in any case: there is no such object any more. */
bool s3_ahead_read(struct s3_ahead_reader *reader, uint64_t offset, uint8_t *out, size_t size, bool *absent,
                   struct error *error);
/* Waits for no request. */
void s3_ahead_reader_free(struct s3_ahead_reader *reader);

#endif
