/* Checks of what comes in that need no store. Each fills an INVALID_ARGUMENT error that names
 * the field, or UNIMPLEMENTED (reason NOT_SERVED_YET) for what the contract knows and this
 * release does not do: a field that is silently ignored would be worse. */
#ifndef WAYBILL_API_REQUEST_CHECKS_H
#define WAYBILL_API_REQUEST_CHECKS_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "google/protobuf/duration.pb-c.h"
#include "metadata-svc/store/record.h"
#include "waybill/v1/record.pb-c.h"

/* One attribute as a request brings it. */
struct attribute_view {
    const char *name;
    const Waybill__V1__AttributeValue *value;
};

/* Takes content type and attributes, sorted by name, into the record. */
bool check_descriptor(const char *content_type, struct attribute_view *views, size_t count, struct arena *arena,
                      struct record *record, struct error *error);
bool check_reason(const char *reason, struct error *error);
/* 0 up to PAYLOAD_MAX_BYTES. */
bool check_payload_size(int64_t size, const char *field, struct error *error);
bool check_sha256(struct bytes sha256, const char *field, struct error *error);
bool check_if_version(bool has, int64_t version, struct error *error);
/* 0 or more. */
bool check_version(int64_t version, const char *field, struct error *error);
/* Unset is 0; else a time after 1970, in microseconds. */
bool check_time(const Google__Protobuf__Timestamp *time, const char *field, int64_t *unix_us, struct error *error);
/* Unset is `unset_us`; else 0 or more. */
bool check_duration(const Google__Protobuf__Duration *duration, const char *field, int64_t unset_us,
                    int64_t *duration_us, struct error *error);
/* Unset or 0 is 0, for the bucket's policy or its default; else up to a year. */
bool check_payload_deadline(const Google__Protobuf__Duration *duration, const char *field, int64_t *duration_us,
                            struct error *error);
/* 0 means the default of 100; else 1-1000. */
bool check_page_size(int32_t asked, int32_t *size, struct error *error);
/* False, with UNIMPLEMENTED, when the field is set. */
bool check_not_served_yet(bool is_set, const char *field, struct error *error);

#endif
