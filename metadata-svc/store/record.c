#include "metadata-svc/store/record.h"

#include <string.h>

struct record record_make(const char *bucket, const char *key) {
    return (struct record){
        .bucket = bucket,
        .key = key,
        .content_type = "",
        .cause = {.actor = "", .reason = ""},
        .durability = DURABILITY_FLUSHED,
    };
}

bool record_state_serves(enum record_state state) {
    return state == RECORD_COMMITTED || state == RECORD_STAGED || state == RECORD_STORED;
}

bool record_state_in_flight(enum record_state state) {
    return state == RECORD_AWAITING_PAYLOAD || state == RECORD_STAGED;
}

void record_share_payload(struct record *record, const struct record *with) {
    record->state = with->state;
    record->has_size = with->has_size;
    record->size = with->size;
    record->has_crc32c = with->has_crc32c;
    record->crc32c = with->crc32c;
    record->sha256 = with->sha256;
    record->payload_id = with->payload_id;
    record->payload_version = with->payload_version;
    memcpy(record->locations, with->locations, sizeof record->locations);
    record->location_count = with->location_count;
    record->store_us = with->store_us;
    record->deadline_us = with->deadline_us;
    record->durability = with->durability;
}

int record_find_location(const struct record *record, enum tier tier, const char *replica) {
    for (size_t i = 0; i < record->location_count; i++) {
        if (record->locations[i].tier == tier && strcmp(record->locations[i].replica, replica) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool record_in_tier(const struct record *record, enum tier tier) {
    for (size_t i = 0; i < record->location_count; i++) {
        if (record->locations[i].tier == tier) {
            return true;
        }
    }
    return false;
}

bool bucket_policy_satisfied(const struct bucket *bucket, const struct record *record) {
    bool cold = record_in_tier(record, TIER_COLD);
    bool hot = record_in_tier(record, TIER_HOT);
    switch (bucket->storage_class) {
    case STORAGE_HOT:
        return hot;
    case STORAGE_HOT_AND_COLD:
    case STORAGE_COLD:
        return cold || (hot && bucket->cold_after_us > 0);
    }
    return false;
}

int64_t bucket_expiry_of(const struct bucket *bucket, const struct record *record) {
    if (record->state == RECORD_DELETED) {
        return 0;
    }
    return record->expire_given          ? record->expire_us
           : bucket->expire_after_us > 0 ? record->update_us + bucket->expire_after_us
                                         : 0;
}
