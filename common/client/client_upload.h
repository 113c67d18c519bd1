/* Part of the client library: the upload that makes a record of its own. */
#ifndef WAYBILL_CLIENT_CLIENT_UPLOAD_H
#define WAYBILL_CLIENT_CLIENT_UPLOAD_H

#include "common/client/waybill_client.h"

/* Streams the source; again from its start after failures that a retry may mend. The start
 * carries the request id that makes this safe. */
bool client_upload_new(struct waybill_client *client, const Waybill__V1__NewRecordUpload *record_start,
                       const struct waybill_source *source, const struct waybill_progress *progress,
                       struct arena *arena, Waybill__V1__Record **record, struct error *error);

#endif
