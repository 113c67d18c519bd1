/* A payload is given up: its version becomes FAILED, and the bucket's on_failure says what becomes
 * of the key. Used by the commit engine only. */
#ifndef WAYBILL_COMMIT_PAYLOAD_FAILING_H
#define WAYBILL_COMMIT_PAYLOAD_FAILING_H

#include "metadata-svc/commit/change_builder.h"

/* Makes `record`, which is in flight, FAILED, keeps the reason, and what the spool has for another
 * try. Where the version is the latest of its key, and the bucket asks for it, a new version
 * follows with the content that readers get now, or a tombstone where there is none; what was
 * written since is never touched. failure->fail_us is filled in; its texts may hold
 * anything. The spooled part of one that is still awaited is added to what the request releases,
 * which must have room for it. Where the payload is shared, `record` becomes the newest version that has it. False
 * only when the store fails. */
bool payload_fail(struct change_builder *builder, struct commit_request *request, struct record *record,
                  enum system_cause system, const struct payload_failure *failure, struct error *error);

#endif
