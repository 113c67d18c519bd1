/* From the objects to the records: whatever is in a tier ought to be needed, and told of. */
#include <stdlib.h>
#include <string.h>

#include "object-svc/scrub/scrub_parts.h"

enum {
    BATCH = 500,
    /* Doubtful objects that are looked at again together. */
    DOUBTS_MAX = 1000,
};

/* An object that was found; a plain value. */
struct found_object {
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char key[NAME_KEY_MAX_BYTES + 1];
    int64_t version;
    struct uuid payload_id;
};

struct object_walk {
    struct scrub *scrub;
    enum object_tier tier;
    struct found_object *batch;
    size_t count;
    struct found_object *doubts;
    size_t doubt_count;
    struct error *error;
    bool good;
};

static struct object_name name_of(const struct found_object *found) {
    return (struct object_name){found->bucket, found->key, found->version, found->payload_id};
}

/* ---- asking ---- */

static bool ask(struct object_walk *walk, const struct found_object *objects, size_t count, struct arena *arena,
                struct object_check *checks) {
    const struct object_catalog *catalog = &walk->scrub->ports->repair.catalog;
    struct object_name *names = arena_alloc(arena, count * sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = name_of(&objects[i]);
    }
    return catalog->check(catalog->self, walk->tier, names, count, arena, checks, walk->error);
}

/* A listing of the cold store tells names only. False where the object cannot say who it is: then
 * `cause` tells why. */
static bool learn_payload_id(const struct object_walk *walk, struct found_object *object, struct error *cause) {
    struct cold_name name = {object->bucket, object->key, object->version};
    struct cold_reader *reader = cold_store_open_object(scrub_cold(walk->scrub), &name, cause);
    if (reader == NULL) {
        return false;
    }
    object->payload_id = cold_reader_provenance(reader)->payload_id;
    cold_reader_close(reader);
    return true;
}

/* ---- the second look ---- */

static bool is_there(const struct object_walk *walk, struct found_object *object, struct error *cause) {
    if (walk->tier == OBJECT_TIER_COLD) {
        return learn_payload_id(walk, object, cause);
    }
    struct hot_object ignored;
    return hot_store_find(scrub_hot(walk->scrub), &object->payload_id, &ignored, cause);
}

static void settle(struct object_walk *walk, enum scrub_kind kind, const struct found_object *object,
                   const char *message) {
    struct object_name name = name_of(object);
    struct scrub_finding finding = scrub_finding_of(kind, walk->tier, &name);
    strncpy(finding.message, message, sizeof finding.message - 1);
    scrub_settle(walk->scrub, &finding);
}

/* A staged version's object is about to be reported. */
static bool is_in_flight(const struct object_check *check) {
    return check->record->state == WAYBILL__V1__RECORD_STATE__RECORD_STATE_STAGED;
}

static bool look_again(struct object_walk *walk, struct found_object *object) {
    struct error cause = {0};
    struct arena arena;
    struct object_check check;
    if (!is_there(walk, object, &cause)) {
        if (cause.code == ERROR_NOT_FOUND) {
            return true;
        }
        if (!scrub_is_damage(&cause)) {
            *walk->error = cause;
            return false;
        }
        /* Whether somebody needs it cannot be told, as it does not say who it is. */
        settle(walk, SCRUB_CORRUPT, object, cause.message);
        return true;
    }
    arena_init(&arena);
    bool good = ask(walk, object, 1, &arena, &check);
    if (good && check.standing == OBJECT_OBSOLETE) {
        settle(walk, SCRUB_ORPHANED, object, "no version needs the object");
    } else if (good && check.standing == OBJECT_UNLISTED && !is_in_flight(&check)) {
        settle(walk, SCRUB_UNLISTED, object, "the record does not tell of this copy");
    }
    arena_free(&arena);
    return good;
}

static bool settle_doubts(struct object_walk *walk) {
    if (walk->doubt_count == 0) {
        return true;
    }
    struct stop_signal *stop = walk->scrub->ports->repair.stop;
    if (stop_signal_pause(stop, walk->scrub->options->confirm_ms)) {
        return scrub_go_on(walk->scrub, 0, walk->error);
    }
    bool good = true;
    for (size_t i = 0; good && i < walk->doubt_count; i++) {
        good = look_again(walk, &walk->doubts[i]) && scrub_go_on(walk->scrub, 0, walk->error);
    }
    walk->doubt_count = 0;
    return good;
}

/* ---- the first look ---- */

static bool check_batch(struct object_walk *walk) {
    struct arena arena;
    arena_init(&arena);
    struct object_check *checks = arena_alloc(&arena, (walk->count + 1) * sizeof *checks);
    bool good = walk->count == 0 || ask(walk, walk->batch, walk->count, &arena, checks);
    for (size_t i = 0; good && i < walk->count; i++) {
        if (checks[i].standing == OBJECT_EXPECTED ||
            (checks[i].standing == OBJECT_UNLISTED && is_in_flight(&checks[i]))) {
            continue;
        }
        walk->doubts[walk->doubt_count++] = walk->batch[i];
        if (walk->doubt_count == DOUBTS_MAX) {
            good = settle_doubts(walk);
        }
    }
    scrub_result_progress(walk->scrub->result, good ? walk->count : 0, 0);
    walk->count = 0;
    arena_free(&arena);
    return good && scrub_go_on(walk->scrub, 0, walk->error);
}

static bool add(struct object_walk *walk, const char *bucket, const char *key, int64_t version,
                const struct uuid *payload_id) {
    const char *wanted = walk->scrub->options->bucket;
    if (wanted[0] != '\0' && strcmp(bucket, wanted) != 0) {
        return true;
    }
    struct found_object *found = &walk->batch[walk->count++];
    *found = (struct found_object){.version = version, .payload_id = *payload_id};
    strncpy(found->bucket, bucket, sizeof found->bucket - 1);
    strncpy(found->key, key, sizeof found->key - 1);
    if (walk->count == BATCH) {
        walk->good = check_batch(walk);
    }
    return walk->good;
}

static bool add_hot(void *context, const struct hot_object *object) {
    return add(context, object->bucket, object->key, object->version, &object->payload_id);
}

static bool add_cold(void *context, const struct cold_entry *entry) {
    static const struct uuid not_known = {0};
    return add(context, entry->name.bucket, entry->name.key, entry->name.version, &not_known);
}

static void *take_memory(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

bool scrub_objects(struct scrub *scrub, enum object_tier tier, struct error *error) {
    struct object_walk walk = {
        .scrub = scrub,
        .tier = tier,
        .batch = take_memory(BATCH, sizeof *walk.batch),
        .doubts = take_memory(DOUBTS_MAX, sizeof *walk.doubts),
        .error = error,
        .good = true,
    };
    bool walked = tier == OBJECT_TIER_HOT
                      ? hot_store_visit_all(scrub_hot(scrub), add_hot, &walk, error)
                      : cold_store_list(scrub_cold(scrub), scrub->options->bucket, "", add_cold, &walk, error);
    bool good = walked && walk.good && check_batch(&walk) && settle_doubts(&walk);
    free(walk.batch);
    free(walk.doubts);
    return good;
}
