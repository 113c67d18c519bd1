/* The changes of buckets that clients ask for. Each checks first and then makes its change in
 * the batch, or leaves the batch alone, sets the error and returns false. Used by the commit
 * engine only. */
#ifndef WAYBILL_COMMIT_BUCKET_CHANGES_H
#define WAYBILL_COMMIT_BUCKET_CHANGES_H

#include "metadata-svc/commit/change_builder.h"

bool change_create_bucket(struct change_builder *builder, struct commit_request *request);
bool change_update_bucket(struct change_builder *builder, struct commit_request *request);
/* FAILED_PRECONDITION (BUCKET_NOT_EMPTY) while it holds records, tombstones included. */
bool change_delete_bucket(struct change_builder *builder, struct commit_request *request);

#endif
