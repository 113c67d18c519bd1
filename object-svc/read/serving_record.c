#include "object-svc/read/serving_record.h"

static bool check_query(const struct serving_query *query, struct error *error) {
    if (!name_check_bucket(query->bucket, "bucket", error) || !name_check_key(query->key, "key", error)) {
        return false;
    }
    if (query->version < 0) {
        return error_set_field(error, "version", "BAD_VERSION", "a version is 1 or more, or 0 for the serving one");
    }
    return true;
}

static bool check_if_version(const struct serving_query *query, int64_t latest, struct error *error) {
    if (!query->has_if_version || query->if_version == latest) {
        return true;
    }
    error_set(error, ERROR_ABORTED, "VERSION_MISMATCH", "if_version_match is %lld, but the record is at version %lld",
              (long long)query->if_version, (long long)latest);
    error_set_detail(error, "current_version", "%lld", (long long)latest);
    return false;
}

bool serving_record_find(struct metadata_client *metadata, const struct serving_query *query, struct arena *arena,
                         Waybill__V1__Record **record, struct error *error) {
    Waybill__V1__Record *latest = NULL;
    bool needs_latest = query->version == 0 || query->has_if_version;
    if (!check_query(query, error)) {
        return false;
    }
    if (needs_latest && (!metadata_client_get_record(metadata, query->bucket, query->key, 0, arena, &latest, error) ||
                         !check_if_version(query, latest->version, error))) {
        return false;
    }
    int64_t version = query->version != 0 ? query->version : latest->serving_version;
    if (version == 0) {
        return error_set(error, ERROR_FAILED_PRECONDITION, "PAYLOAD_NOT_STORED",
                         "no version of the record can be read yet: the latest is %lld", (long long)latest->version);
    }
    *record = latest;
    return (latest != NULL && latest->version == version) ||
           metadata_client_get_record(metadata, query->bucket, query->key, version, arena, record, error);
}
