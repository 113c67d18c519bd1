/* The changes that clients ask for: put, finish an upload, delete. Each
 * checks first and then makes its change in the batch, or leaves the batch alone, sets the
 * error and returns false. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_RECORD_CHANGES_H
#define WAYBILL_COMMIT_RECORD_CHANGES_H

#include "metadata-svc/commit/change_builder.h"

bool change_put(struct change_builder *builder, struct commit_request *request);
bool change_finish_upload(struct change_builder *builder, struct commit_request *request);
bool change_delete(struct change_builder *builder, struct commit_request *request);

#endif
