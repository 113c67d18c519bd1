/* The bytes of one version, from whichever copy there is: this replica's hot volumes, another
 * replica's, the cold store, or still the spool. A copy that turns out to be damaged, gone or out
 * of reach is left for the next one in mid-read, so that a move under way, a bad block or a replica
 * that dies is no error while another copy is good. One thread per reader. */
#ifndef WAYBILL_READ_OBJECT_READER_H
#define WAYBILL_READ_OBJECT_READER_H

#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/peer/peer_reader.h"
#include "object-svc/upstream/metadata_client.h"

/* Numbers are those of proto/waybill/v1. */
enum read_source { READ_FROM_HOT = 1, READ_FROM_PEER = 2, READ_FROM_COLD = 3, READ_FROM_SPOOL = 4 };

/* A copy that proved damaged. */
struct damaged_copy {
    const Waybill__V1__Record *record; /* borrowed during the call */
    enum read_source source;
};

struct object_reader_ports {
    const char *replica; /* this one */
    struct hot_store *hot;
    struct cold_store *cold;
    struct payload_source spool;
    struct peer_port peers;
    /* Told of each copy that proves damaged; may be NULL. Any thread, must not wait. */
    void (*on_corrupt)(void *self, const struct damaged_copy *copy);
    void *self;
};

/* What is to be read of the object: for copies that are asked for a range. */
struct read_span {
    uint64_t offset;
    uint64_t end;
};

struct object_reader;

/* Opens the nearest copy of a version as its record describes it; the record is borrowed
 * while the reader lives. `skip` is a source that is not tried, 0 for none. NOT_FOUND
 * (OBJECT_NOT_FOUND) when no copy is where the record says: then the record has changed meanwhile
 * and is worth reading again. UNAVAILABLE (OBJECT_ON_OTHER_REPLICA) when the replica that has it
 * cannot be reached. */
struct object_reader *object_reader_open(const struct object_reader_ports *ports, const Waybill__V1__Record *record,
                                         const struct read_span *span, enum read_source skip, struct error *error);
enum read_source object_reader_source(const struct object_reader *reader);
/* What the copy that is open says of itself; NULL where it does not. Valid until the next read. */
const struct provenance *object_reader_provenance(const struct object_reader *reader);
/* Reads up to `size` bytes from `offset`, fewer only at the object's end; every byte is
 * verified. -1: no copy can give them; DATA_LOSS when all are damaged. */
int64_t object_reader_read(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void object_reader_close(struct object_reader *reader);

#endif
