/* Part of the client library: the upload that makes a record of its own. */
#ifndef WAYBILL_CLIENT_CLIENT_UPLOAD_H
#define WAYBILL_CLIENT_CLIENT_UPLOAD_H

#include "common/client/waybill_client.h"

/* Streams the source; after failures that a retry may mend from where it broke off. The start
 * carries the request id that makes this safe; `asks` where the same request may have been made
 * before: then the server is asked first what it has of it. */
bool client_upload_new(struct waybill_client *client, Waybill__V1__NewRecordUpload *start, bool asks,
                       const struct waybill_source *source, const struct waybill_progress *progress,
                       struct arena *arena, Waybill__V1__Record **record, struct error *error);

#endif
