/* At start: what the spool holds against what the records want. A crash may leave a payload
 * whose release was not written down: it is released here. So is one whose commit never came, unless
 * its upload can be resumed and nobody knows an end of it: then its producer finds it at its end. A
 * payload that a record wants and the spool lost is logged: pulling it will fail. */
#ifndef WAYBILL_SPOOL_SPOOL_RECONCILE_H
#define WAYBILL_SPOOL_SPOOL_RECONCILE_H

#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/kv.h"

/* Before the first upload or pull. False only when the record store fails. */
bool spool_reconcile(struct payload_spool *spool, struct kv *kv, struct error *error);

#endif
