/* The bytes of one version, from whichever copy there is: this replica's hot volumes, the
 * cold store, or still the spool. A copy that turns out to be damaged or gone is left for the
 * next one in mid-read, so that a move under way or a bad block is no error while another
 * copy is good. One thread per reader. */
#ifndef WAYBILL_READ_OBJECT_READER_H
#define WAYBILL_READ_OBJECT_READER_H

#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/upstream/metadata_client.h"

/* Numbers are those of proto/waybill/v1. */
enum read_source { READ_FROM_HOT = 1, READ_FROM_PEER = 2, READ_FROM_COLD = 3, READ_FROM_SPOOL = 4 };

struct object_reader_ports {
    struct hot_store *hot;
    struct cold_store *cold;
    struct payload_source spool;
};

struct object_reader;

/* Opens the nearest copy of a version as its record describes it; the record is borrowed
 * while the reader lives. NOT_FOUND (OBJECT_NOT_FOUND) when no copy is where the record says:
 * then the record has changed meanwhile and is worth reading again. */
struct object_reader *object_reader_open(const struct object_reader_ports *ports, const Waybill__V1__Record *record,
                                         struct error *error);
enum read_source object_reader_source(const struct object_reader *reader);
/* Reads up to `size` bytes from `offset`, fewer only at the object's end; every byte is
 * verified. -1: no copy can give them; DATA_LOSS when all are damaged. */
int64_t object_reader_read(struct object_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void object_reader_close(struct object_reader *reader);

#endif
