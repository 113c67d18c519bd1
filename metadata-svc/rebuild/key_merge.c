#include "metadata-svc/rebuild/key_merge.h"

#include <stdlib.h>
#include <string.h>

/* A version in the making. */
struct candidate {
    struct merged_version merged;
    const struct gathered_version *from;
    bool left_out;
};

/* The versions of a payload, and where its bytes were found. */
struct payload {
    struct candidate **members; /* the oldest first */
    size_t count;
    const struct record *said; /* the newest image that tells of it; NULL: none does */
    struct location found[RECORD_MAX_LOCATIONS];
    size_t found_count;
    const struct gathered_object *object; /* one that was found; NULL: none */
};

struct merge {
    const struct gathered_key *key;
    const struct bucket *bucket;
    const struct merge_sources *sources;
    struct arena *arena;
    struct candidate *candidates;
    size_t count;
    struct merged_key *out;
};

/* ---- what a version is ---- */

/* Of several objects the one that says most, then the one committed last. */
static const struct gathered_object *best_object(const struct gathered_version *version) {
    const struct gathered_object *best = NULL;
    for (size_t i = 0; i < version->object_count; i++) {
        const struct gathered_object *object = &version->objects[i];
        if (uuid_is_zero(&object->record.payload_id)) {
            continue; /* damaged beyond its name */
        }
        bool better = best == NULL || (best->damaged && !object->damaged) ||
                      (best->damaged == object->damaged && object->record.update_us > best->record.update_us);
        best = better ? object : best;
    }
    return best;
}

/* False where nothing tells what the version is. */
static bool make_candidate(struct merge *merge, const struct gathered_version *version, struct candidate *candidate) {
    *candidate = (struct candidate){.from = version};
    if (version->has_image) {
        candidate->merged.record = version->image;
        return true;
    }
    const struct gathered_object *object = best_object(version);
    if (object == NULL) {
        return false;
    }
    struct record *record = &candidate->merged.record;
    *record = object->record;
    record->revision = 0;
    record->state = RECORD_STORED;
    record->location_count = 0;
    record->cause = (struct cause){"", "rebuilt from its object", SYSTEM_CAUSE_OPERATOR};
    candidate->merged.change = CHANGE_STORED;
    merge->out->from_objects++;
    return true;
}

static void make_candidates(struct merge *merge) {
    merge->candidates = arena_alloc(merge->arena, merge->key->count * sizeof *merge->candidates);
    for (size_t i = 0; i < merge->key->count; i++) {
        if (make_candidate(merge, &merge->key->versions[i], &merge->candidates[merge->count])) {
            merge->count++;
        }
    }
}

/* ---- payloads ---- */

static int compare_payloads(const void *a, const void *b) {
    const struct candidate *one = *(struct candidate *const *)a;
    const struct candidate *other = *(struct candidate *const *)b;
    int order = memcmp(&one->merged.record.payload_id, &other->merged.record.payload_id, sizeof(struct uuid));
    return order != 0 ? order : one < other ? -1 : 1;
}

static void take_places(struct payload *payload, const struct gathered_object *object) {
    for (size_t i = 0; i < object->record.location_count && payload->found_count < RECORD_MAX_LOCATIONS; i++) {
        payload->found[payload->found_count++] = object->record.locations[i];
    }
    payload->object = object;
}

static int compare_versions(const void *wanted, const void *element) {
    int64_t version = ((const struct gathered_version *)element)->version;
    return *(const int64_t *)wanted < version ? -1 : *(const int64_t *)wanted > version;
}

/* The objects under that number, which is that of the version that brought their payload. */
static const struct gathered_object *objects_at(const struct merge *merge, int64_t version, size_t *count) {
    const struct gathered_version *found =
        bsearch(&version, merge->key->versions, merge->key->count, sizeof *found, compare_versions);
    *count = found != NULL ? found->object_count : 0;
    return found != NULL ? found->objects : NULL;
}

static void find_objects(struct merge *merge, struct payload *payload) {
    const struct record *record = &payload->members[0]->merged.record;
    size_t count;
    const struct gathered_object *objects = objects_at(merge, record->payload_version, &count);
    for (size_t i = 0; i < count; i++) {
        if (uuid_equal(&objects[i].record.payload_id, &record->payload_id)) {
            take_places(payload, &objects[i]);
        }
    }
}

/* Whether there is something that cannot say what it is. */
static bool is_damaged_there(const struct merge *merge, const struct record *record, const struct location *location) {
    size_t count;
    const struct gathered_object *objects = objects_at(merge, record->payload_version, &count);
    for (size_t i = 0; i < count; i++) {
        if (uuid_is_zero(&objects[i].record.payload_id) &&
            record_find_location(&objects[i].record, location->tier, location->replica) >= 0) {
            return true;
        }
    }
    return false;
}

static bool was_searched(const struct merge_sources *sources, const struct location *location) {
    if (location->tier == TIER_COLD) {
        return sources->cold;
    }
    for (size_t i = 0; i < sources->replica_count; i++) {
        if (strcmp(sources->replicas[i], location->replica) == 0) {
            return true;
        }
    }
    return false;
}

static void add_place(struct record *record, const struct location *location) {
    if (record->location_count < RECORD_MAX_LOCATIONS &&
        record_find_location(record, location->tier, location->replica) < 0) {
        record->locations[record->location_count++] = *location;
    }
}

/* Where the payload is. The image's words for a place are kept, so that what has not changed is
 * the same to the byte. */
static void settle_places(struct merge *merge, struct payload *payload, struct record *record) {
    struct record before = *record;
    struct record found = record_make("", "");
    if (record->state != RECORD_STORED) {
        return;
    }
    memcpy(found.locations, payload->found, sizeof found.locations);
    found.location_count = payload->found_count;
    record->location_count = 0;
    for (size_t i = 0; i < before.location_count; i++) {
        const struct location *place = &before.locations[i];
        if (record_find_location(&found, place->tier, place->replica) >= 0 || !was_searched(merge->sources, place) ||
            is_damaged_there(merge, record, place)) {
            add_place(record, place);
        }
    }
    for (size_t i = 0; i < payload->found_count; i++) {
        add_place(record, &payload->found[i]);
    }
    if (record->location_count == 0) {
        memcpy(record->locations, before.locations, sizeof record->locations);
        record->location_count = before.location_count;
        merge->out->missing++;
    }
}

static bool same_places(const struct record *one, const struct record *other) {
    for (size_t i = 0; i < one->location_count; i++) {
        if (record_find_location(other, one->locations[i].tier, one->locations[i].replica) < 0) {
            return false;
        }
    }
    return one->location_count == other->location_count;
}

static void become_stored(struct payload *payload, struct record *record) {
    const struct record *object = &payload->object->record;
    record->state = RECORD_STORED;
    record->has_size = record->has_crc32c = true;
    record->size = object->size;
    record->crc32c = object->crc32c;
    record->store_us = object->store_us;
}

static void settle_state(struct merge *merge, struct payload *payload, struct record *record) {
    const struct merge_sources *sources = merge->sources;
    if (!record_state_in_flight(record->state)) {
        return;
    }
    if (payload->object != NULL) {
        become_stored(payload, record);
    } else if (record->state == RECORD_STAGED &&
               !sources->is_spooled(sources->self, &record->payload_id, record->size, record->crc32c)) {
        record->state = RECORD_FAILED;
        record->cause = (struct cause){"", "the payload was lost with the metadata", SYSTEM_CAUSE_OPERATOR};
        merge->out->lost_payloads++;
    }
}

static enum change_type change_of(const struct record *before, const struct record *after) {
    if (before->state != after->state) {
        return after->state == RECORD_FAILED ? CHANGE_FAILED : CHANGE_STORED;
    }
    if (!same_places(before, after)) {
        return CHANGE_TIERED;
    }
    /* object-svc may have lost the event, too. */
    return after->state == RECORD_STAGED ? CHANGE_STAGED : 0;
}

/* Whether a version that is not its key's latest may go. */
static bool takes_old_versions(const struct merge *merge) {
    const struct record *head = &merge->candidates[merge->count - 1].merged.record;
    bool by_policy = merge->bucket->max_versions > 0 || merge->bucket->version_retention_us > 0;
    return head->state == RECORD_DELETED || (by_policy && record_state_serves(head->state));
}

static bool was_taken_away(const struct merge *merge, const struct payload *payload, const struct record *record) {
    const struct candidate *last = &merge->candidates[merge->count - 1];
    if (record->state != RECORD_STORED || payload->object != NULL || payload->members[payload->count - 1] == last ||
        !takes_old_versions(merge)) {
        return false;
    }
    for (size_t i = 0; i < record->location_count; i++) {
        if (!was_searched(merge->sources, &record->locations[i]) ||
            is_damaged_there(merge, record, &record->locations[i])) {
            return false;
        }
    }
    return true;
}

static void settle_payload(struct merge *merge, struct payload *payload) {
    struct candidate *newest = payload->members[payload->count - 1];
    struct record told = payload->said != NULL ? *payload->said : newest->merged.record;
    struct record settled = told;
    find_objects(merge, payload);
    if (was_taken_away(merge, payload, &told)) {
        for (size_t i = 0; i < payload->count; i++) {
            payload->members[i]->left_out = true;
            merge->out->taken_away++;
        }
        return;
    }
    settle_state(merge, payload, &settled);
    settle_places(merge, payload, &settled);
    for (size_t i = 0; i < payload->count; i++) {
        record_share_payload(&payload->members[i]->merged.record, &settled);
    }
    newest->merged.is_payload_holder = true;
    newest->merged.shared_by = (int64_t)payload->count;
    enum change_type change = payload->said != NULL ? change_of(&told, &settled) : CHANGE_STORED;
    if (newest->merged.change == 0) {
        newest->merged.change = change;
    }
    if (change != 0 && change != CHANGE_STAGED && payload->said != NULL) {
        newest->merged.record.cause = settled.state == RECORD_FAILED
                                          ? settled.cause
                                          : (struct cause){"", "rebuilt from its object", SYSTEM_CAUSE_OPERATOR};
    }
}

static void settle_payloads(struct merge *merge) {
    struct candidate **order = arena_alloc(merge->arena, (merge->count + 1) * sizeof *order);
    size_t with_payload = 0;
    for (size_t i = 0; i < merge->count; i++) {
        if (!uuid_is_zero(&merge->candidates[i].merged.record.payload_id)) {
            order[with_payload++] = &merge->candidates[i];
        }
    }
    if (with_payload > 0) {
        qsort(order, with_payload, sizeof *order, compare_payloads);
    }
    for (size_t i = 0; i < with_payload;) {
        struct payload payload = {.members = &order[i]};
        const struct uuid *id = &order[i]->merged.record.payload_id;
        for (; i < with_payload && uuid_equal(&order[i]->merged.record.payload_id, id); i++, payload.count++) {
            const struct gathered_version *from = order[i]->from;
            if (from->has_image && (payload.said == NULL || from->image.revision > payload.said->revision)) {
                payload.said = &from->image;
            }
        }
        settle_payload(merge, &payload);
    }
}

/* ---- the key ---- */

static bool is_needed(const struct merge *merge, const struct gathered_version *version, const struct uuid *id) {
    for (size_t i = merge->count; i > 0; i--) {
        const struct candidate *candidate = &merge->candidates[i - 1];
        if (candidate->from->version < version->version) {
            break; /* none before it can share its payload */
        }
        if (!candidate->left_out && uuid_equal(&candidate->merged.record.payload_id, id)) {
            return true;
        }
    }
    return false;
}

static void count_orphans(struct merge *merge) {
    for (size_t i = 0; i < merge->key->count; i++) {
        const struct gathered_version *version = &merge->key->versions[i];
        for (size_t j = 0; j < version->object_count; j++) {
            const struct uuid *id = &version->objects[j].record.payload_id;
            bool own = version->has_image && uuid_equal(&version->image.payload_id, id);
            merge->out->orphans += !uuid_is_zero(id) && !own && !is_needed(merge, version, id);
        }
    }
}

/* The newest version that readers get. */
static int64_t serving_version(const struct merged_key *out) {
    for (size_t i = out->count; i > 0; i--) {
        const struct record *record = &out->versions[i - 1].record;
        if (record->state == RECORD_DELETED) {
            return 0;
        }
        if (record_state_serves(record->state)) {
            return record->version;
        }
    }
    return 0;
}

struct merged_key key_merge(const struct gathered_key *key, const struct bucket *bucket,
                            const struct merge_sources *sources, struct arena *arena) {
    struct merged_key out = {0};
    struct merge merge = {.key = key, .bucket = bucket, .sources = sources, .arena = arena, .out = &out};
    make_candidates(&merge);
    if (merge.count > 0) {
        settle_payloads(&merge);
    }
    count_orphans(&merge);
    out.versions = arena_alloc(arena, (merge.count + 1) * sizeof *out.versions);
    for (size_t i = 0; i < merge.count; i++) {
        if (!merge.candidates[i].left_out) {
            out.versions[out.count++] = merge.candidates[i].merged;
        }
    }
    if (out.count > 0) {
        out.versions[out.count - 1].record.serving_version = serving_version(&out);
    }
    return out;
}
