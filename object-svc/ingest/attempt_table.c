/* A cache of sets: an id can lie in one of WAYS neighbouring slots, where its hash says. */
#include "object-svc/ingest/attempt_table.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/bytes.h"

enum { WAYS = 4 };

struct slot {
    struct uuid id;
    uint64_t attempts; /* 0: free */
    int64_t seen_us;
};

struct attempt_table {
    size_t sets;
    struct slot slots[];
};

struct attempt_table *attempt_table_new(size_t slots) {
    assert(slots >= WAYS && (slots & (slots - 1)) == 0);
    struct attempt_table *table = calloc(1, sizeof *table + slots * sizeof table->slots[0]);
    if (table == NULL) {
        abort();
    }
    table->sets = slots / WAYS;
    return table;
}

void attempt_table_free(struct attempt_table *table) {
    free(table);
}

/* The last bytes of a payload id are random. */
static struct slot *set_of(struct attempt_table *table, const struct uuid *id) {
    return &table->slots[(get_le32(id->raw + 12) & (table->sets - 1)) * WAYS];
}

static struct slot *find(struct attempt_table *table, const struct uuid *id) {
    struct slot *set = set_of(table, id);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].attempts > 0 && uuid_equal(&set[i].id, id)) {
            return &set[i];
        }
    }
    return NULL;
}

static struct slot *take_place(struct attempt_table *table, const struct uuid *id, int64_t now_us) {
    struct slot *set = set_of(table, id);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].attempts == 0 || now_us - set[i].seen_us > ATTEMPT_STALE_US) {
            set[i] = (struct slot){.id = *id};
            return &set[i];
        }
    }
    return NULL;
}

uint64_t attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                           int64_t now_us) {
    struct slot *slot = find(table, payload_id);
    if (slot == NULL) {
        slot = take_place(table, payload_id, now_us);
    }
    if (slot == NULL) {
        return deliveries;
    }
    slot->seen_us = now_us;
    return ++slot->attempts;
}

void attempt_table_forget(struct attempt_table *table, const struct uuid *payload_id) {
    struct slot *slot = find(table, payload_id);
    if (slot != NULL) {
        slot->attempts = 0;
    }
}
