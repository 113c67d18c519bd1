#include "metadata-svc/api/replica_table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_RETRY_AFTER_MS = 5000 };

struct entry {
    char *name;
    char *address;
    int64_t until_us; /* monotonic */
};

struct replica_table {
    const struct clock *clock;
    pthread_mutex_t lock; /* all below */
    struct entry entries[REPLICAS_MAX];
    size_t count; /* in the order of their names */
};

struct replica_table *replica_table_new(const struct clock *clock) {
    struct replica_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        abort();
    }
    table->clock = clock;
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

static void remove_at(struct replica_table *table, size_t at) {
    free(table->entries[at].name);
    free(table->entries[at].address);
    table->count--;
    memmove(&table->entries[at], &table->entries[at + 1], (table->count - at) * sizeof table->entries[0]);
}

void replica_table_free(struct replica_table *table) {
    if (table == NULL) {
        return;
    }
    while (table->count > 0) {
        remove_at(table, table->count - 1);
    }
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static void forget_old(struct replica_table *table) {
    int64_t now_us = clock_monotonic_us(table->clock);
    for (size_t i = table->count; i > 0; i--) {
        if (table->entries[i - 1].until_us <= now_us) {
            remove_at(table, i - 1);
        }
    }
}

/* Where the name is, or belongs. */
static size_t place_of(const struct replica_table *table, const char *name, bool *found) {
    size_t at = 0;
    while (at < table->count && strcmp(table->entries[at].name, name) < 0) {
        at++;
    }
    *found = at < table->count && strcmp(table->entries[at].name, name) == 0;
    return at;
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

bool replica_table_put(struct replica_table *table, const struct replica *replica, int64_t ttl_us,
                       struct error *error) {
    bool found;
    pthread_mutex_lock(&table->lock);
    forget_old(table);
    size_t at = place_of(table, replica->name, &found);
    bool room = found || table->count < REPLICAS_MAX;
    struct entry *entry = &table->entries[at];
    if (found) {
        free(entry->address);
    } else if (room) {
        memmove(entry + 1, entry, (table->count - at) * sizeof *entry);
        entry->name = copy_of(replica->name);
        table->count++;
    }
    if (room) {
        entry->address = copy_of(replica->address);
        entry->until_us = clock_monotonic_us(table->clock) + ttl_us;
    }
    pthread_mutex_unlock(&table->lock);
    if (!room) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "TOO_MANY_REPLICAS", "%d replicas are registered already",
                  REPLICAS_MAX);
        error->retry_after_ms = FULL_RETRY_AFTER_MS;
    }
    return room;
}

void replica_table_remove(struct replica_table *table, const char *name) {
    bool found;
    pthread_mutex_lock(&table->lock);
    size_t at = place_of(table, name, &found);
    if (found) {
        remove_at(table, at);
    }
    pthread_mutex_unlock(&table->lock);
}

size_t replica_table_list(struct replica_table *table, struct arena *arena, struct replica **replicas) {
    pthread_mutex_lock(&table->lock);
    forget_old(table);
    size_t count = table->count;
    struct replica *list = arena_alloc(arena, (count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct replica){arena_strdup(arena, table->entries[i].name),
                                   arena_strdup(arena, table->entries[i].address)};
    }
    pthread_mutex_unlock(&table->lock);
    *replicas = list;
    return count;
}
