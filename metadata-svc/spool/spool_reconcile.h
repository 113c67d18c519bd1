/* At start: what the spool holds against what the records want. A crash may leave a payload
 * whose commit never came, or whose release was not written down; both are released here. A
 * payload that a record wants and the spool lost is logged: pulling it will fail. */
#ifndef WAYBILL_SPOOL_SPOOL_RECONCILE_H
#define WAYBILL_SPOOL_SPOOL_RECONCILE_H

#include "metadata-svc/spool/payload_spool.h"
#include "metadata-svc/store/kv.h"

/* Before the first upload or pull. False only when the record store fails. */
bool spool_reconcile(struct payload_spool *spool, struct kv *kv, struct error *error);

#endif
