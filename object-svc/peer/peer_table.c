#include "object-svc/peer/peer_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/stop_signal.h"
#include "common/checksum/crc32c.h"

enum {
    PEER_MESSAGE_MAX_BYTES = 4 * 1024 * 1024,
    REGISTER_TIMEOUT_MS = 2000,
    LEAVE_TIMEOUT_MS = 1000,
    REFRESH_PAUSE_MS = 200, /* least time between two registrations */
    HUNG_PAUSE_MS = 2000,   /* how long a peer that hung is left alone */
};

struct peer {
    struct peer_table *table;
    char *name;
    char *address;
    struct rpc_channel *channel;
    int64_t heard_us;               /* when metadata-svc last told of it; monotonic */
    unsigned references;            /* under the table's lock; one is the table's */
    _Atomic(int64_t) hung_until_us; /* monotonic */
    struct peer *next;
};

struct peer_table {
    struct peer_table_options options;
    char *replica;
    char *address;
    struct stop_signal stop;
    pthread_t thread;
    bool running;
    bool failed;                    /* said once */
    _Atomic(int64_t) registered_us; /* when that was last tried; monotonic */
    pthread_mutex_t lock;           /* peers, their references and times */
    struct peer *peers;
};

static int64_t now_us(const struct peer_table *table) {
    return clock_monotonic_us(table->options.clock);
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

/* ---- peers ---- */

static struct peer *peer_new(struct peer_table *table, const struct replica_address *replica) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        abort();
    }
    peer->table = table;
    peer->name = copy_of(replica->name);
    peer->address = copy_of(replica->address);
    peer->channel = rpc_channel_new(replica->address, PEER_MESSAGE_MAX_BYTES);
    peer->references = 1;
    return peer;
}

void peer_release(struct peer *peer) {
    if (peer == NULL) {
        return;
    }
    pthread_mutex_lock(&peer->table->lock);
    bool last = --peer->references == 0;
    pthread_mutex_unlock(&peer->table->lock);
    if (last) {
        rpc_channel_free(peer->channel);
        free(peer->name);
        free(peer->address);
        free(peer);
    }
}

struct rpc_channel *peer_channel(struct peer *peer) {
    return peer->channel;
}

void peer_note_hung(struct peer *peer) {
    atomic_store(&peer->hung_until_us, now_us(peer->table) + HUNG_PAUSE_MS * 1000);
}

bool peer_hung_lately(const struct peer *peer) {
    return now_us(peer->table) < atomic_load(&peer->hung_until_us);
}

struct peer *peer_table_get(struct peer_table *table, const char *replica) {
    pthread_mutex_lock(&table->lock);
    struct peer *peer = table->peers;
    while (peer != NULL && strcmp(peer->name, replica) != 0) {
        peer = peer->next;
    }
    if (peer != NULL) {
        peer->references++;
    }
    pthread_mutex_unlock(&table->lock);
    return peer;
}

/* A number that differs from replica to replica, and for each object in another way. */
static uint64_t nearness(const char *replica, const struct uuid *payload_id) {
    uint32_t crc = crc32c_extend(crc32c(bytes_of_string(replica)), bytes_of(payload_id->raw, sizeof payload_id->raw));
    uint64_t mixed = (crc ^ (uint64_t)crc << 32) * 0x9e3779b97f4a7c15;
    return (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9;
}

bool peer_table_is_nearest(struct peer_table *table, const struct uuid *payload_id) {
    uint64_t own = nearness(table->replica, payload_id);
    bool nearest = true;
    pthread_mutex_lock(&table->lock);
    for (const struct peer *peer = table->peers; nearest && peer != NULL; peer = peer->next) {
        uint64_t other = nearness(peer->name, payload_id);
        nearest = own > other || (own == other && strcmp(table->replica, peer->name) > 0);
    }
    pthread_mutex_unlock(&table->lock);
    return nearest;
}

void peer_table_refresh(struct peer_table *table) {
    if (now_us(table) - atomic_load(&table->registered_us) > REFRESH_PAUSE_MS * 1000) {
        stop_signal_wake(&table->stop);
    }
}

/* ---- what is heard ---- */

/* Takes those out that are not there any more, or elsewhere; the caller releases them. */
static struct peer *take_out(struct peer_table *table, const struct replica_address *replicas, size_t count) {
    struct peer *out = NULL;
    int64_t oldest_us = now_us(table) - PEER_TTL_REFRESHES * table->options.refresh_ms * 1000;
    for (struct peer **link = &table->peers; *link != NULL;) {
        struct peer *peer = *link;
        bool keep = peer->heard_us >= oldest_us;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(replicas[i].name, peer->name) == 0) {
                keep = strcmp(replicas[i].address, peer->address) == 0;
                peer->heard_us = now_us(table);
            }
        }
        if (keep) {
            link = &peer->next;
        } else {
            *link = peer->next;
            peer->next = out;
            out = peer;
        }
    }
    return out;
}

static bool is_there(const struct peer_table *table, const char *name) {
    const struct peer *peer = table->peers;
    while (peer != NULL && strcmp(peer->name, name) != 0) {
        peer = peer->next;
    }
    return peer != NULL;
}

static void put_in(struct peer_table *table, const struct replica_address *replica) {
    if (strcmp(replica->name, table->replica) == 0 || is_there(table, replica->name)) {
        return;
    }
    struct peer *peer = peer_new(table, replica);
    peer->heard_us = now_us(table);
    peer->next = table->peers;
    table->peers = peer;
    log_info("replica_found", LOG_STR("replica", peer->name), LOG_STR("address", peer->address));
}

static void take_over(struct peer_table *table, const struct replica_address *replicas, size_t count) {
    pthread_mutex_lock(&table->lock);
    struct peer *out = take_out(table, replicas, count);
    for (size_t i = 0; i < count; i++) {
        put_in(table, &replicas[i]);
    }
    pthread_mutex_unlock(&table->lock);
    while (out != NULL) {
        struct peer *peer = out;
        out = peer->next;
        log_info("replica_gone", LOG_STR("replica", peer->name), LOG_STR("address", peer->address));
        peer_release(peer);
    }
}

/* ---- the thread ---- */

static void register_once(struct peer_table *table) {
    const struct peer_table_options *options = &table->options;
    struct replica_address *replicas;
    size_t count;
    struct error error = {0};
    struct arena arena;
    arena_init(&arena);
    atomic_store(&table->registered_us, now_us(table));
    if (replica_directory_register(options->metadata, table->address, PEER_TTL_REFRESHES * options->refresh_ms,
                                   REGISTER_TIMEOUT_MS, &arena, &replicas, &count, &error)) {
        take_over(table, replicas, count);
        table->failed = false;
    } else if (!table->failed) {
        table->failed = true;
        log_warn("replica_not_registered", LOG_ERROR(&error), LOG_STR("hint", "is metadata-svc up? it is asked again"));
    }
    arena_free(&arena);
}

static void *register_loop(void *argument) {
    struct peer_table *table = argument;
    do {
        register_once(table);
    } while (!stop_signal_pause(&table->stop, table->options.refresh_ms));
    return NULL;
}

static double count_peers(void *self) {
    struct peer_table *table = self;
    unsigned count = 0;
    pthread_mutex_lock(&table->lock);
    for (const struct peer *peer = table->peers; peer != NULL; peer = peer->next) {
        count++;
    }
    pthread_mutex_unlock(&table->lock);
    return count;
}

struct peer_table *peer_table_new(const struct peer_table_options *options) {
    struct peer_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        abort();
    }
    table->options = *options;
    table->replica = copy_of(options->replica);
    stop_signal_init(&table->stop);
    pthread_mutex_init(&table->lock, NULL);
    metrics_gauge_callback(options->metrics, "waybill_peers", "Other replicas that this one knows.", NULL, count_peers,
                           table);
    return table;
}

void peer_table_announce(struct peer_table *table, const char *address) {
    table->address = copy_of(address);
    if (pthread_create(&table->thread, NULL, register_loop, table) != 0) {
        abort();
    }
    pthread_setname_np(table->thread, "peer-table");
    table->running = true;
}

void peer_table_leave(struct peer_table *table) {
    if (table == NULL || !table->running) {
        return;
    }
    struct error error = {0};
    stop_signal_raise(&table->stop);
    pthread_join(table->thread, NULL);
    table->running = false;
    if (!replica_directory_leave(table->options.metadata, LEAVE_TIMEOUT_MS, &error)) {
        log_info("leave_not_told", LOG_ERROR(&error), LOG_STR("hint", "the others find out by themselves"));
    }
}

void peer_table_free(struct peer_table *table) {
    if (table == NULL) {
        return;
    }
    peer_table_leave(table);
    while (table->peers != NULL) {
        struct peer *peer = table->peers;
        table->peers = peer->next;
        peer_release(peer);
    }
    pthread_mutex_destroy(&table->lock);
    stop_signal_destroy(&table->stop);
    free(table->replica);
    free(table->address);
    free(table);
}
