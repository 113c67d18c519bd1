#include "object-svc/tier/recall.h"

/* uthash aborts when memory is gone, as our own allocations do. */
#define uthash_fatal(message) abort()
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/base/log.h"
#include "object-svc/cold/cold_breaker.h"
#include "object-svc/tier/recall_notes.h"

enum { UNKNOWN = 0 };
#define PAUSE_FIRST_US ((int64_t)30 * 1000000)
#define PAUSE_LONGEST_US ((int64_t)3600 * 1000000)

struct followed {
    UT_hash_handle hh;
    struct uuid uid;
    int storage_class; /* that the bucket's objects have followed; UNKNOWN: none */
    int64_t pause_us;  /* after the next pass that leaves something */
    int64_t next_us;   /* no pass before; monotonic */
    bool seen;         /* among the policies in hand */
};

/* One pass over a bucket's cold objects. */
struct pass {
    bool under_way;
    struct uuid uid;
    int storage_class;
    char bucket[NAME_BUCKET_MAX_BYTES + 1];
    char *token; /* of the page after this one; "" at the begin and behind the last */
    bool last_page;
    struct arena page;
    Waybill__V1__Record **records;
    size_t count;
    size_t next;
    uint64_t recalled;
    uint64_t left;   /* to other replicas, or to whoever has them in hand */
    uint64_t failed; /* which no pass would mend */
    bool told;       /* why it does not go on: said once */
};

struct recall {
    struct recall_options options;
    struct followed *buckets;
    struct pass pass;
};

/* ---- what was followed ---- */

static struct followed *find(struct recall *recall, const struct uuid *uid) {
    struct followed *bucket = NULL;
    HASH_FIND(hh, recall->buckets, uid->raw, sizeof uid->raw, bucket);
    return bucket;
}

static struct followed *add(struct recall *recall, const struct uuid *uid, int storage_class) {
    struct followed *bucket = calloc(1, sizeof *bucket);
    if (bucket == NULL) {
        abort();
    }
    bucket->uid = *uid;
    bucket->storage_class = storage_class;
    bucket->pause_us = PAUSE_FIRST_US;
    HASH_ADD_KEYPTR(hh, recall->buckets, bucket->uid.raw, sizeof bucket->uid.raw, bucket);
    return bucket;
}

static void forget(struct recall *recall, struct followed *bucket) {
    HASH_DEL(recall->buckets, bucket);
    free(bucket);
}

/* What is not noted is done once more after a restart. */
static void save(struct recall *recall) {
    struct recall_note *notes = calloc(HASH_COUNT(recall->buckets) + 1, sizeof *notes);
    struct error error = {0};
    size_t count = 0;
    if (notes == NULL) {
        abort();
    }
    for (const struct followed *bucket = recall->buckets; bucket != NULL; bucket = bucket->hh.next) {
        notes[count++] = (struct recall_note){bucket->uid, (uint8_t)bucket->storage_class};
    }
    if (!recall_notes_write(recall->options.notes, notes, count, &error)) {
        log_warn("recall_not_noted", LOG_ERROR(&error), LOG_STR("hint", "after a restart buckets are looked at again"));
    }
    free(notes);
}

static bool keeps_hot(const struct bucket_policy *policy) {
    return !policy->leaves_hot;
}

/* A bucket that is new to this replica, or whose objects are to be in the cold store alone. */
static bool take_policy(struct recall *recall, const struct bucket_policy *policy) {
    struct followed *bucket = find(recall, &policy->uid);
    bool known = bucket != NULL;
    if (!known) {
        bool look = policy->was_changed && !policy->goes_cold;
        bucket = add(recall, &policy->uid, look ? UNKNOWN : policy->storage_class);
    }
    bucket->seen = true;
    if (known && (keeps_hot(policy) || bucket->storage_class == policy->storage_class)) {
        return false;
    }
    if (!keeps_hot(policy)) {
        bucket->storage_class = policy->storage_class;
        bucket->pause_us = PAUSE_FIRST_US;
        bucket->next_us = 0;
    }
    return true;
}

static void take_policies(struct recall *recall, const struct bucket_policy *policies, size_t count) {
    struct followed *bucket;
    struct followed *next;
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        changed |= take_policy(recall, &policies[i]);
    }
    HASH_ITER(hh, recall->buckets, bucket, next) {
        changed |= !bucket->seen;
        if (bucket->seen) {
            bucket->seen = false;
        } else {
            forget(recall, bucket);
        }
    }
    if (changed) {
        save(recall);
    }
}

/* ---- a pass ---- */

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

static void end_pass(struct recall *recall) {
    if (recall->pass.under_way) {
        arena_free(&recall->pass.page);
        free(recall->pass.token);
        recall->pass = (struct pass){0};
    }
}

static bool begin_pass(struct recall *recall, const struct bucket_policy *policies, size_t count) {
    int64_t now_us = clock_monotonic_us(recall->options.ports.clock);
    for (size_t i = 0; i < count; i++) {
        const struct bucket_policy *policy = &policies[i];
        const struct followed *bucket = find(recall, &policy->uid);
        if (keeps_hot(policy) && bucket->storage_class != policy->storage_class && bucket->next_us <= now_us) {
            recall->pass = (struct pass){
                .under_way = true, .uid = policy->uid, .storage_class = policy->storage_class, .token = copy_of("")};
            memcpy(recall->pass.bucket, policy->bucket, sizeof recall->pass.bucket);
            arena_init(&recall->pass.page);
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct pass *pass, const struct bucket_policy *policies, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (uuid_equal(&policies[i].uid, &pass->uid)) {
            return policies[i].storage_class == pass->storage_class;
        }
    }
    return false;
}

/* It went through all. */
static void settle(struct recall *recall) {
    const struct pass *pass = &recall->pass;
    struct followed *bucket = find(recall, &pass->uid);
    if (bucket != NULL && pass->left == 0) {
        bucket->storage_class = pass->storage_class;
        bucket->pause_us = PAUSE_FIRST_US;
        save(recall);
    } else if (bucket != NULL) {
        bucket->next_us = clock_monotonic_us(recall->options.ports.clock) + bucket->pause_us;
        bucket->pause_us = bucket->pause_us * 2 < PAUSE_LONGEST_US ? bucket->pause_us * 2 : PAUSE_LONGEST_US;
    }
    if (pass->recalled > 0 || pass->failed > 0) {
        log_info("bucket_recalled", LOG_STR("bucket", pass->bucket), LOG_INT("objects", pass->recalled),
                 LOG_INT("failed", pass->failed), LOG_INT("left", pass->left));
    }
    end_pass(recall);
}

static void tell_waiting(struct pass *pass, const struct error *error) {
    if (!pass->told) {
        pass->told = true;
        log_warn("recall_waits", LOG_ERROR(error), LOG_STR("bucket", pass->bucket),
                 LOG_STR("hint", "it is tried again"));
    }
}

static bool read_page(struct recall *recall) {
    struct pass *pass = &recall->pass;
    const struct object_catalog *catalog = &recall->options.ports.catalog;
    struct error error = {0};
    const char *token = pass->token;
    arena_free(&pass->page);
    pass->count = pass->next = 0;
    if (!catalog->list(catalog->self, OBJECT_TIER_COLD, pass->bucket, &pass->page, &token, &pass->records, &pass->count,
                       &error)) {
        pass->count = 0;
        tell_waiting(pass, &error);
        return false;
    }
    char *next = copy_of(token);
    free(pass->token);
    pass->token = next;
    pass->last_page = next[0] == '\0';
    return true;
}

/* ---- an object ---- */

enum went_on { WENT_ON, MUST_WAIT };

static bool is_hot(const Waybill__V1__Record *record) {
    for (size_t i = 0; i < record->n_locations; i++) {
        if (record->locations[i]->tier == WAYBILL__V1__TIER__TIER_HOT) {
            return true;
        }
    }
    return false;
}

static enum went_on note_failure(struct pass *pass, const struct moved_object *object, const struct error *error) {
    if (error->code == ERROR_NOT_FOUND) {
        return WENT_ON; /* no version needs it any more */
    }
    if (strcmp(error->reason, "OBJECT_MOVING") == 0) {
        pass->left++;
        return WENT_ON;
    }
    if (error->code != ERROR_CANCELLED && error->code != ERROR_UNAVAILABLE && error->code != ERROR_RESOURCE_EXHAUSTED) {
        pass->failed++;
        log_warn("recall_failed", LOG_ERROR(error), LOG_STR("bucket", object->bucket), LOG_STR("key", object->key),
                 LOG_INT("version", object->version));
        return WENT_ON;
    }
    if (error->code != ERROR_CANCELLED && strcmp(error->reason, COLD_STORE_SUSPENDED) != 0) {
        tell_waiting(pass, error);
    }
    return MUST_WAIT; /* whoever is away, or has no room, is so for the others too */
}

static enum went_on recall_one(struct recall *recall, const struct tier_move *move, const Waybill__V1__Record *record,
                               struct tier_round *round, uint64_t *bytes) {
    struct pass *pass = &recall->pass;
    struct error error = {0};
    struct moved_object object = {0};
    if (is_hot(record)) {
        return WENT_ON;
    }
    if (!moved_object_of_record(record, &object, &error)) {
        return note_failure(pass, &object, &error);
    }
    if (!recall->options.is_mine(recall->options.self, &object.payload_id)) {
        pass->left++;
        return WENT_ON;
    }
    if (object.size_bytes > watermark_room(&recall->options.watermark, recall->options.ports.hot)) {
        error_set(&error, ERROR_RESOURCE_EXHAUSTED, "HOT_STORE_FULL", "hot is at its low watermark");
        return note_failure(pass, &object, &error);
    }
    if (!tier_promote(&recall->options.ports, &object, move, &error)) {
        return note_failure(pass, &object, &error);
    }
    *bytes += object.size_bytes;
    pass->recalled++;
    round->recalled_objects++;
    return WENT_ON;
}

/* Returns true when there is more to do at once. */
static bool go_on(struct recall *recall, const struct tier_move *move, struct tier_round *round) {
    struct pass *pass = &recall->pass;
    uint64_t before = pass->recalled;
    uint64_t bytes = 0;
    while (pass->recalled - before < RECALL_ROUND_OBJECTS && bytes < RECALL_ROUND_BYTES) {
        if (pass->next == pass->count) {
            if (pass->last_page) {
                settle(recall);
                return true; /* another bucket's may be due */
            }
            return read_page(recall);
        }
        if (recall_one(recall, move, pass->records[pass->next], round, &bytes) == MUST_WAIT) {
            return false;
        }
        pass->next++;
    }
    return true;
}

bool recall_run(struct recall *recall, const struct tier_move *move, const struct bucket_policy *policies,
                size_t policy_count, struct tier_round *round) {
    take_policies(recall, policies, policy_count);
    if (recall->pass.under_way && !is_wanted(&recall->pass, policies, policy_count)) {
        end_pass(recall);
    }
    return (recall->pass.under_way || begin_pass(recall, policies, policy_count)) && go_on(recall, move, round);
}

struct recall *recall_new(const struct recall_options *options) {
    struct recall *recall = calloc(1, sizeof *recall);
    size_t count;
    if (recall == NULL) {
        abort();
    }
    recall->options = *options;
    struct recall_note *notes = recall_notes_read(options->notes, &count);
    for (size_t i = 0; i < count; i++) {
        if (find(recall, &notes[i].bucket_uid) == NULL) {
            add(recall, &notes[i].bucket_uid, notes[i].storage_class);
        }
    }
    free(notes);
    return recall;
}

void recall_free(struct recall *recall) {
    struct followed *bucket;
    struct followed *next;
    if (recall == NULL) {
        return;
    }
    end_pass(recall);
    HASH_ITER(hh, recall->buckets, bucket, next) {
        forget(recall, bucket);
    }
    free(recall);
}
