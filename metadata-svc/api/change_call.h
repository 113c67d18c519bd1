/* A unary call that asks for a change: from the handler through the committer to the answer.
 * Lives in the call's arena. */
#ifndef WAYBILL_API_CHANGE_CALL_H
#define WAYBILL_API_CHANGE_CALL_H

#include "metadata-svc/api/metadata_api.h"

struct change_call {
    struct metadata_api *api;
    struct rpc_call *call;
    void (*answer)(struct change_call *change);
    int64_t start_us; /* monotonic */
    struct commit_request commit;
};

/* `answer` replies to the call once the change is durable; errors are answered before it. */
struct change_call *change_call_begin(struct metadata_api *api, struct rpc_call *call, enum commit_kind kind,
                                      void (*answer)(struct change_call *change));
/* Takes the parts that writing requests share. `request` is the wire form, of which the
 * fingerprint is made. */
bool change_take_common(struct commit_request *commit, const char *request_id, const char *reason, bool has_if_version,
                        int64_t if_version, bool validate_only, struct bytes request, struct error *error);
/* An empty request in the arena's care: no string is NULL. */
void change_init(struct commit_request *commit, enum commit_kind kind, struct arena *arena);
/* Hands it to the committer; answers the call when that takes no more. */
void change_call_submit(struct change_call *change);

/* False, with RESOURCE_EXHAUSTED, while too many changes wait to be published (OUTBOX_FULL, or KEPT_FOR_METADATA for a
 * change with a payload), or the disk of the record store is nearly full (DISK_FULL). */
bool change_check_outbox(struct metadata_api *api, bool payload, struct error *error);

#endif
