/* Reading a payload that is still in the spool, over a pull that is kept open while the
 * reading goes on in order. One thread. */
#ifndef WAYBILL_READ_SPOOL_READER_H
#define WAYBILL_READ_SPOOL_READER_H

#include "object-svc/upstream/payload_source.h"

struct spool_reader;

/* Fails with NOT_FOUND when the spool does not have the payload (any more). */
struct spool_reader *spool_reader_open(const struct payload_source *source, const struct uuid *payload_id,
                                       struct error *error);
/* As object_reader_read. */
int64_t spool_reader_read(struct spool_reader *reader, uint64_t offset, void *out, size_t size, struct error *error);
void spool_reader_close(struct spool_reader *reader);

#endif
