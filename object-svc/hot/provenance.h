/* What an object says of itself, in whichever tier it is stored: enough to write its record
 * again if the metadata is lost. Written in front of the bytes in a hot volume, beside them
 * in the cold store.
 *
 * A plain value that borrows: whoever hands one out says how long its pointers are valid. */
#ifndef WAYBILL_HOT_PROVENANCE_H
#define WAYBILL_HOT_PROVENANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/uuid.h"

enum {
    PROVENANCE_SHA256_BYTES = 32,
    PROVENANCE_CONTENT_TYPE_MAX_BYTES = 255,
    PROVENANCE_DESCRIPTOR_MAX_BYTES = 256 * 1024,
};

struct provenance {
    const char *bucket; /* valid by name_check_bucket */
    const char *key;    /* valid by name_check_key */
    int64_t version;    /* >= 1 */
    struct uuid payload_id;
    const char *content_type; /* "" for none; NULL counts as "" */
    /* Attributes, schema and what else the record needs, in the writer's encoding; the tiers
     * give back the same bytes and do not look inside. A compact JSON object (jansson's
     * JSON_COMPACT) is what a cold store can show to people; anything else is shown in hexadecimal. */
    struct bytes descriptor;
    uint64_t size_bytes;
    uint32_t crc32c; /* of all the bytes */
    bool has_sha256; /* as the writer of the record gave it; the tiers do not check it */
    uint8_t sha256[PROVENANCE_SHA256_BYTES];
    int64_t commit_unix_us; /* when the version was committed; 0 where not known */
    /* When it first became durable in a tier; 0 lets the tier stamp it. */
    int64_t store_unix_us;
};

#endif
