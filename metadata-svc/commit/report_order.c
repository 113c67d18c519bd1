/* A cache of sets, as in a processor: an object can be in one of WAYS neighbouring places. */
#include "metadata-svc/commit/report_order.h"

#include <assert.h>
#include <stdlib.h>

enum { WAYS = 4 };

struct place {
    uint64_t object; /* replica and payload id, hashed: two that are alike share their order */
    int64_t number;  /* 0: free */
};

struct set {
    struct place places[WAYS];
    int64_t forgotten; /* the highest number that lost its place */
};

struct report_order {
    size_t set_count;
    struct set sets[];
};

struct report_order *report_order_new(size_t sets) {
    assert(sets > 0 && (sets & (sets - 1)) == 0);
    struct report_order *order = calloc(1, sizeof *order + sets * sizeof order->sets[0]);
    if (order == NULL) {
        abort();
    }
    order->set_count = sets;
    return order;
}

void report_order_free(struct report_order *order) {
    free(order);
}

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t object_of(const char *replica, const struct uuid *payload_id) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = replica; *at != '\0'; at++) {
        hash = hash_bytes(hash, at, 1);
    }
    return hash_bytes(hash, payload_id->raw, sizeof payload_id->raw);
}

static size_t set_of(const struct report_order *order, uint64_t object) {
    return (size_t)(object ^ object >> 32) & (order->set_count - 1);
}

int64_t report_order_newest(const struct report_order *order, const char *replica, const struct uuid *payload_id) {
    uint64_t object = object_of(replica, payload_id);
    const struct set *set = &order->sets[set_of(order, object)];
    for (size_t i = 0; i < WAYS; i++) {
        if (set->places[i].number > 0 && set->places[i].object == object) {
            return set->places[i].number;
        }
    }
    return set->forgotten;
}

/* The object's place, a free one, or that of the lowest number. */
static struct place *choose_place(struct set *set, uint64_t object) {
    struct place *chosen = &set->places[0];
    for (size_t i = 0; i < WAYS; i++) {
        struct place *place = &set->places[i];
        if (place->number > 0 && place->object == object) {
            return place;
        }
        if (place->number < chosen->number) {
            chosen = place;
        }
    }
    return chosen;
}

void report_order_note(struct report_order *order, const char *replica, const struct uuid *payload_id, int64_t number) {
    uint64_t object = object_of(replica, payload_id);
    struct set *set = &order->sets[set_of(order, object)];
    struct place *place = choose_place(set, object);
    if (place->number > 0 && place->object != object && place->number > set->forgotten) {
        set->forgotten = place->number;
    }
    *place = (struct place){object, number};
}
