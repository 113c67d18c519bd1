/* New versions that share the payload of an older one: an update of the descriptor, and the
 * restore of a version. Each checks first and then makes its change in the batch, or leaves
 * the batch alone, sets the error and returns false. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_DESCRIPTOR_CHANGES_H
#define WAYBILL_COMMIT_DESCRIPTOR_CHANGES_H

#include "metadata-svc/commit/change_builder.h"

/* NOT_FOUND when the key has no living record; INVALID_ARGUMENT when the merged descriptor is
 * larger than a descriptor may be. */
bool change_update(struct change_builder *builder, struct commit_request *request);
/* NOT_FOUND without such a version; ALREADY_EXISTS when it is the living record already;
 * FAILED_PRECONDITION when its payload never became durable. */
bool change_restore(struct change_builder *builder, struct commit_request *request);

#endif
