/* What becomes of a payload that nobody stores, and what operators do about it.
 *
 * A payload that is staged for long is announced again with a `staged` event of its own: whoever lost
 * the first one (a consumer that was deleted, a stream that was wiped) hears of it without an
 * operator. Waits double from one time to the next, and a request does a bounded number of
 * them. At its deadline a payload that is not stored fails. What failed is kept for
 * another try, and after failed_retention_us forgotten, with its bytes. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_PAYLOAD_CHANGES_H
#define WAYBILL_COMMIT_PAYLOAD_CHANGES_H

#include "metadata-svc/commit/change_builder.h"

/* Does what a payload's timer asks for. False only when the store fails. */
bool change_payload_due(struct change_builder *builder, const struct timer *timer, struct commit_request *request,
                        struct error *error);
/* An announced payload that its producer will not upload fails. NOT_FOUND when there is none;
 * FAILED_PRECONDITION when it is not awaited any more. */
bool change_cancel_upload(struct change_builder *builder, struct commit_request *request);
/* A failed payload is staged again, with the time that the bucket's policy gives. NOT_FOUND when it is
 * not kept; FAILED_PRECONDITION when it has not failed, or its bytes never came. */
bool change_retry_payload(struct change_builder *builder, struct commit_request *request);
/* Makes a payload in flight fail; forgets one that has failed. NOT_FOUND when there is none;
 * FAILED_PRECONDITION when it is stored. */
bool change_cancel_payload(struct change_builder *builder, struct commit_request *request);

#endif
