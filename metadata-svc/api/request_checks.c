#include "metadata-svc/api/request_checks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metadata-svc/store/descriptor.h"
#include "metadata-svc/store/record_codec.h"

enum { PAGE_SIZE_DEFAULT = 100, PAGE_SIZE_MAX = 1000 };

/* The years 1 to 9999, as google.protobuf.Timestamp has it. */
#define TIMESTAMP_MIN_SECONDS (-62135596800LL)
#define TIMESTAMP_MAX_SECONDS 253402300799LL
/* The longest google.protobuf.Duration: about 10,000 years. */
#define DURATION_MAX_SECONDS 315576000000LL
#define PAYLOAD_DEADLINE_MAX_US (365LL * 24 * 3600 * 1000000)

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct attribute_view *)a)->name, ((const struct attribute_view *)b)->name);
}

static bool check_attribute_name(const char *name, struct error *error) {
    size_t size = strlen(name);
    if (size == 0 || size > RECORD_ATTRIBUTE_NAME_MAX_BYTES) {
        return error_set_field(error, "attributes", "BAD_ATTRIBUTE", "an attribute's name has 1 to %d bytes",
                               RECORD_ATTRIBUTE_NAME_MAX_BYTES);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return error_set_field(error, "attributes", "BAD_ATTRIBUTE",
                                   "an attribute's name holds no control characters");
        }
    }
    return true;
}

static bool check_attribute_value(const struct attribute *attribute, struct error *error) {
    if (attribute->kind == ATTRIBUTE_DOUBLE && isnan(attribute->real)) {
        return error_set_field(error, "attributes", "BAD_ATTRIBUTE", "attribute \"%s\" is not a number",
                               attribute->name);
    }
    if (attribute->kind == ATTRIBUTE_TIMESTAMP &&
        (attribute->time.seconds < TIMESTAMP_MIN_SECONDS || attribute->time.seconds > TIMESTAMP_MAX_SECONDS ||
         attribute->time.nanos < 0 || attribute->time.nanos > 999999999)) {
        return error_set_field(error, "attributes", "BAD_ATTRIBUTE", "attribute \"%s\" is no valid time",
                               attribute->name);
    }
    return true;
}

bool check_descriptor(const char *content_type, struct attribute_view *views, size_t count, struct arena *arena,
                      struct record *record, struct error *error) {
    size_t bytes = strlen(content_type);
    if (bytes > RECORD_CONTENT_TYPE_MAX_BYTES) {
        return error_set_field(error, "content_type", "CONTENT_TYPE_TOO_LONG", "a content type has at most %d bytes",
                               RECORD_CONTENT_TYPE_MAX_BYTES);
    }
    for (size_t i = 0; i < bytes; i++) {
        if (content_type[i] < 0x20 || content_type[i] > 0x7e) {
            return error_set_field(error, "content_type", "BAD_CONTENT_TYPE", "a content type is printable ASCII");
        }
    }
    if (count > RECORD_MAX_ATTRIBUTES) {
        return error_set_field(error, "attributes", "TOO_MANY_ATTRIBUTES", "%zu attributes, at most %d are taken",
                               count, RECORD_MAX_ATTRIBUTES);
    }
    record->content_type = content_type;
    record->attribute_count = count;
    record->attributes = arena_alloc(arena, count * sizeof *record->attributes);
    if (count > 1) {
        qsort(views, count, sizeof *views, compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        if (!check_attribute_name(views[i].name, error)) {
            return false;
        }
        if (i > 0 && strcmp(views[i].name, views[i - 1].name) == 0) {
            return error_set_field(error, "attributes", "BAD_ATTRIBUTE", "attribute \"%s\" is there twice",
                                   views[i].name);
        }
        if (!attribute_from_proto(views[i].name, views[i].value, &record->attributes[i])) {
            return error_set_field(error, "attributes", "BAD_ATTRIBUTE", "attribute \"%s\" has no value",
                                   views[i].name);
        }
        if (!check_attribute_value(&record->attributes[i], error)) {
            return false;
        }
    }
    return descriptor_check(record, arena, error);
}

bool check_reason(const char *reason, struct error *error) {
    if (strlen(reason) > RECORD_REASON_MAX_BYTES) {
        return error_set_field(error, "reason", "REASON_TOO_LONG", "a reason has at most %d bytes",
                               RECORD_REASON_MAX_BYTES);
    }
    return true;
}

bool check_payload_size(int64_t size, const char *field, struct error *error) {
    return (size >= 0 && (uint64_t)size <= PAYLOAD_MAX_BYTES) ||
           error_set_field(error, field, "BAD_SIZE", "a payload has from 0 bytes to 5 TiB");
}

bool check_sha256(struct bytes sha256, const char *field, struct error *error) {
    if (sha256.size != 0 && sha256.size != RECORD_SHA256_BYTES) {
        return error_set_field(error, field, "BAD_SHA256", "a SHA-256 has %d bytes, this one %zu", RECORD_SHA256_BYTES,
                               sha256.size);
    }
    return true;
}

bool check_if_version(bool has, int64_t version, struct error *error) {
    if (has && version < 0) {
        return error_set_field(error, "if_version_match", "BAD_VERSION", "a version is 0 or more");
    }
    return true;
}

bool check_version(int64_t version, const char *field, struct error *error) {
    return version >= 0 || error_set_field(error, field, "BAD_VERSION", "a version is 1 or more, or 0 for the latest");
}

bool check_time(const Google__Protobuf__Timestamp *time, const char *field, int64_t *unix_us, struct error *error) {
    *unix_us = 0;
    if (time == NULL) {
        return true;
    }
    if (time->seconds < 0 || time->seconds > TIMESTAMP_MAX_SECONDS || time->nanos < 0 || time->nanos > 999999999 ||
        (time->seconds == 0 && time->nanos < 1000)) {
        return error_set_field(error, field, "BAD_TIME", "%s is no valid time after 1970", field);
    }
    *unix_us = time->seconds * 1000000 + time->nanos / 1000;
    return true;
}

bool check_duration(const Google__Protobuf__Duration *duration, const char *field, int64_t unset_us,
                    int64_t *duration_us, struct error *error) {
    *duration_us = unset_us;
    if (duration == NULL) {
        return true;
    }
    if (duration->seconds < 0 || duration->seconds > DURATION_MAX_SECONDS || duration->nanos < 0 ||
        duration->nanos > 999999999) {
        return error_set_field(error, field, "BAD_DURATION", "%s is 0 or more, and at most 10,000 years", field);
    }
    *duration_us = duration->seconds * 1000000 + duration->nanos / 1000;
    return true;
}

bool check_payload_deadline(const Google__Protobuf__Duration *duration, const char *field, int64_t *duration_us,
                            struct error *error) {
    if (!check_duration(duration, field, 0, duration_us, error)) {
        return false;
    }
    return *duration_us <= PAYLOAD_DEADLINE_MAX_US ||
           error_set_field(error, field, "BAD_DURATION", "%s is at most 365 days", field);
}

bool check_page_size(int32_t asked, int32_t *size, struct error *error) {
    if (asked < 0 || asked > PAGE_SIZE_MAX) {
        return error_set_field(error, "page_size", "BAD_PAGE_SIZE", "a page has 1 to %d entries", PAGE_SIZE_MAX);
    }
    *size = asked == 0 ? PAGE_SIZE_DEFAULT : asked;
    return true;
}

bool check_not_served_yet(bool is_set, const char *field, struct error *error) {
    if (!is_set) {
        return true;
    }
    error_set_field(error, field, "NOT_SERVED_YET", "%s is not served yet", field);
    error->code = ERROR_UNIMPLEMENTED;
    return false;
}
