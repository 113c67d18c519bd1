#include "metadata-svc/store/descriptor.h"

#include <string.h>

#include "metadata-svc/store/record_codec.h"

bool descriptor_check(const struct record *record, struct arena *arena, struct error *error) {
    if (record->attribute_count > RECORD_MAX_ATTRIBUTES) {
        return error_set_field(error, "attributes", "TOO_MANY_ATTRIBUTES", "%zu attributes, at most %d are taken",
                               record->attribute_count, RECORD_MAX_ATTRIBUTES);
    }
    size_t bytes = strlen(record->content_type);
    for (size_t i = 0; i < record->attribute_count; i++) {
        bytes += strlen(record->attributes[i].name) + attribute_encoded_bytes(&record->attributes[i], arena);
    }
    if (bytes > RECORD_DESCRIPTOR_MAX_BYTES) {
        return error_set_field(error, "attributes", "DESCRIPTOR_TOO_LARGE",
                               "content type and attributes have %zu bytes, at most %d are taken", bytes,
                               RECORD_DESCRIPTOR_MAX_BYTES);
    }
    return true;
}

bool descriptor_check_expiry(int64_t expire_us, int64_t now_us, struct error *error) {
    return expire_us == 0 || expire_us > now_us ||
           error_set_field(error, "expire_time", "BAD_EXPIRE_TIME", "expire_time is in the past");
}
