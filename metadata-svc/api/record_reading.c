#include "metadata-svc/api/record_reading.h"

#include "common/base/names.h"
#include "metadata-svc/api/request_checks.h"
#include "metadata-svc/store/record_store.h"

bool record_reading_check(const Waybill__V1__GetRecordRequest *request, struct error *error) {
    return name_check_bucket(request->bucket, "bucket", error) && name_check_key(request->key, "key", error) &&
           check_version(request->version, "version", error);
}

bool record_reading_find(struct metadata_api *api, const Waybill__V1__GetRecordRequest *request, struct arena *arena,
                         struct record *record, struct error *error) {
    struct kv_lookup lookup = kv_lookup_of(api->kv);
    struct bucket bucket;
    struct record_head head;
    bool found;
    if (!record_store_get_bucket(lookup, request->bucket, arena, &bucket, error)) {
        return false;
    }
    if (request->version == 0) {
        if (!record_store_get_head(lookup, request->bucket, request->key, arena, &head, &found, error)) {
            return false;
        }
        *record = head.record;
    } else if (!record_store_get_version(lookup, request->bucket, request->key, request->version, arena, record, &found,
                                         error)) {
        return false;
    }
    if (!found) {
        return error_set(error, ERROR_NOT_FOUND, request->version == 0 ? "RECORD_NOT_FOUND" : "VERSION_NOT_FOUND",
                         "there is no such record in bucket \"%s\"", request->bucket);
    }
    if (record->state == RECORD_DELETED && !request->show_deleted) {
        error_set(error, ERROR_NOT_FOUND, "RECORD_DELETED", "the record is deleted");
        error_set_detail(error, "version", "%lld", (long long)record->version);
        return false;
    }
    return true;
}
