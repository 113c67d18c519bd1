/* Sends parts of multipart uploads side by side: a few threads for all uploads of a store, so
 * that one large object is not bound to the speed of one connection.
 *
 * At most `max_bytes` of parts are on their way at once (or one part, where it alone is larger);
 * whoever has more to send waits. A writer holds one more part, which it fills meanwhile. Parts leave
 * the bound by themselves, so writers that wait for each other's stores cannot wait for ever.
 *
 * Any thread may send; an upload belongs to one. Each thread of the sender runs one loop and
 * ends with s3_sender_free, once every upload has ended. */
#ifndef WAYBILL_COLD_COLD_S3_SENDER_H
#define WAYBILL_COLD_COLD_S3_SENDER_H

#include "object-svc/cold/s3/s3_client.h"

enum { S3_SENDER_THREADS_MAX = 32, S3_UPLOAD_PARTS_MAX = 10000 };

struct s3_sender;
struct s3_upload;

/* Borrows the client. */
struct s3_sender *s3_sender_new(struct s3_client *client, int64_t threads, uint64_t max_bytes);
void s3_sender_free(struct s3_sender *sender);

/* An upload that the server knows by that id (escaped for a URL); both are copied. */
struct s3_upload *s3_upload_new(struct s3_sender *sender, const char *key, const char *upload_id);
/* Sends the next part and takes its bytes over; `part` is empty afterwards. False with the error of
 * an earlier part where one failed: the upload is lost, and what waits is not sent. */
bool s3_upload_send(struct s3_upload *upload, struct buffer *part, struct error *error);
/* Waits until nothing is on its way. Appends the list of parts for CompleteMultipartUpload. */
bool s3_upload_finish(struct s3_upload *upload, struct buffer *list, struct error *error);
/* Waits until nothing is on its way, so that no part can come after the upload was aborted. */
void s3_upload_free(struct s3_upload *upload);

#endif
