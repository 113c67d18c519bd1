/* Reading an object from another replica's hot volumes. Nothing that the other one says is taken
 * on trust: the block checksums that it sends must join to the CRC32C of the record, and each
 * block must match its checksum before a byte of it is handed out. One thread.
 *
 * Errors: NOT_FOUND (OBJECT_NOT_FOUND) where the peer does not have the object any more;
 * DATA_LOSS (OBJECT_CORRUPT) where its copy is damaged or what it sends is not the object;
 * RESOURCE_EXHAUSTED (PEER_BUSY, with RetryInfo) where it serves as many as it can; UNAVAILABLE
 * (OBJECT_ON_OTHER_REPLICA, detail `replica`) where it is not there, breaks off or hangs. */
#ifndef WAYBILL_PEER_PEER_READER_H
#define WAYBILL_PEER_PEER_READER_H

#include "common/base/uuid.h"
#include "object-svc/peer/peer_table.h"

/* Where peers are found, and how long one may send nothing. */
struct peer_port {
    struct peer_table *peers; /* NULL: there are none */
    int64_t timeout_ms;
};

/* What is to be read, as the record tells it. */
struct peer_object {
    const char *replica;
    struct uuid payload_id;
    uint64_t size_bytes;
    uint32_t crc32c;
};

struct peer_reader;

/* Asks for the range; `end` is where reading is expected to end. */
struct peer_reader *peer_reader_open(const struct peer_port *port, const struct peer_object *object, uint64_t offset,
                                     uint64_t end, struct error *error);
/* Reads up to `size` bytes from `offset`, fewer only at the object's end. A connection that
 * breaks is made again once before that is a failure. */
int64_t peer_reader_read(struct peer_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void peer_reader_close(struct peer_reader *reader);

#endif
