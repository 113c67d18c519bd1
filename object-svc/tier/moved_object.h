/* An object that is moved between tiers, by the version that brought its payload. */
#ifndef WAYBILL_TIER_MOVED_OBJECT_H
#define WAYBILL_TIER_MOVED_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/names.h"
#include "common/base/uuid.h"

/* A plain value. */
struct moved_object {
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char key[NAME_KEY_MAX_BYTES + 1];
    int64_t version;
    struct uuid payload_id;
    uint64_t size_bytes;
    uint32_t crc32c;
    bool cold_copy_known; /* as committed by metadata-svc */
};

#endif
