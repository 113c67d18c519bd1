#include "metadata-svc/commit/commit_request.h"

bool commit_brings_payload(const struct commit_request *request) {
    return request->kind == COMMIT_FINISH_UPLOAD ||
           (request->kind == COMMIT_PUT && request->payload_source != PAYLOAD_FROM_NOWHERE);
}

bool commit_is_upkeep(const struct commit_request *request) {
    return request->kind == COMMIT_REPORTS || request->kind == COMMIT_TIMERS;
}

struct cause cause_of(const struct commit_request *request, enum system_cause system) {
    return (struct cause){request->actor, request->reason, system};
}

const struct uuid *request_id_of(const struct commit_request *request) {
    return uuid_is_zero(&request->request_id) ? NULL : &request->request_id;
}

bool commit_check_version(const struct commit_request *request, const char *what, int64_t current,
                          struct error *error) {
    if (!request->has_if_version || request->if_version == current) {
        return true;
    }
    error_set(error, ERROR_ABORTED, "VERSION_MISMATCH", "if_version_match is %lld, but the %s is at version %lld",
              (long long)request->if_version, what, (long long)current);
    error_set_detail(error, "current_version", "%lld", (long long)current);
    return false;
}
