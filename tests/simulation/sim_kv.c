#include "tests/simulation/sim_kv.h"

#include <stdlib.h>

#include "tests/simulation/sim_core.h"

struct entry {
    struct bytes key;
    struct bytes value;
};

/* What the store holds at one moment; it never changes, so that cursors and what is durable can
 * share it. Entries live in the store's arena until it is freed. */
struct state {
    unsigned uses;
    size_t count;
    const struct entry *entries[];
};

struct sim_kv {
    struct arena arena;
    struct state *visible;
    struct state **since; /* [0] is durable; then one for each write that no sync covered */
    size_t since_count;
    bool writing;
    bool broken; /* until the next restart */
    bool fail_next;
    int64_t flush_us;
    enum sim_kv_way way;
    uint8_t dropped_prefix;
};

struct handle {
    struct kv base;
    struct sim_kv *store;
};

struct cursor {
    struct kv_cursor base;
    struct state *state;
    size_t at;
};

/* ---- states ---- */

static struct state *state_new(size_t capacity) {
    struct state *state = malloc(sizeof *state + capacity * sizeof state->entries[0]);
    if (state == NULL) {
        abort();
    }
    state->uses = 1;
    state->count = 0;
    return state;
}

static struct state *state_use(struct state *state) {
    state->uses++;
    return state;
}

static void state_unuse(struct state *state) {
    if (--state->uses == 0) {
        free(state);
    }
}

static int compare(struct bytes a, struct bytes b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The first entry whose key is not before it. */
static size_t lower_bound(const struct state *state, struct bytes key) {
    size_t low = 0;
    size_t high = state->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(state->entries[middle]->key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct state *state, size_t at, struct bytes key) {
    return at < state->count && bytes_equal(state->entries[at]->key, key);
}

/* ---- writing ---- */

struct change {
    struct sim_kv *store;
    struct state *state;
    unsigned number; /* of the operation */
    unsigned first;  /* operations from here on */
    unsigned end;    /* and before this one */
};

static void apply_one(void *context, struct bytes key, const struct bytes *value) {
    struct change *change = context;
    struct state *state = change->state;
    unsigned number = change->number++;
    if (number < change->first || number >= change->end ||
        (key.size > 0 && key.data[0] == change->store->dropped_prefix)) {
        return;
    }
    size_t at = lower_bound(state, key);
    if (value == NULL) {
        if (is_at(state, at, key)) {
            memmove(&state->entries[at], &state->entries[at + 1], (state->count - at - 1) * sizeof state->entries[0]);
            state->count--;
        }
        return;
    }
    struct arena *arena = &change->store->arena;
    struct entry *entry = arena_alloc(arena, sizeof *entry);
    *entry = (struct entry){arena_copy(arena, key), arena_copy(arena, *value)};
    if (!is_at(state, at, key)) {
        memmove(&state->entries[at + 1], &state->entries[at], (state->count - at) * sizeof state->entries[0]);
        state->count++;
    }
    state->entries[at] = entry;
}

static struct state *apply(struct sim_kv *store, const struct state *to, const struct kv_batch *batch, unsigned first,
                           unsigned end) {
    struct state *state = state_new(to->count + batch->count);
    memcpy(state->entries, to->entries, to->count * sizeof to->entries[0]);
    state->count = to->count;
    struct change change = {store, state, 0, first, end};
    kv_batch_each(batch, apply_one, &change);
    return state;
}

static void show(struct sim_kv *store, struct state *state) {
    state_unuse(store->visible);
    store->visible = state;
}

static void note_unsynced(struct sim_kv *store, struct state *state) {
    store->since = realloc(store->since, (store->since_count + 1) * sizeof(struct state *));
    if (store->since == NULL) {
        abort();
    }
    store->since[store->since_count++] = state_use(state);
}

/* What is remembered up to and with `kept` is durable. */
static void settle(struct sim_kv *store, size_t kept) {
    struct state *durable = state_use(store->since[kept]);
    for (size_t i = 0; i < store->since_count; i++) {
        state_unuse(store->since[i]);
    }
    store->since[0] = durable;
    store->since_count = 1;
}

static bool broken(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "RECORD_STORE_FAILED", "the simulated disk failed");
}

/* Waits for the disk. The write is noted as one that may or may not be kept by then. */
static bool flush(struct sim_kv *store, struct error *error) {
    if (store->flush_us > 0) {
        sim_sleep(sim_range(1, store->flush_us));
    }
    bool fails = store->fail_next || !sim_alive();
    store->fail_next = false;
    if (fails) {
        store->broken = store->way != SIM_KV_DENIED;
        return broken(error);
    }
    settle(store, store->since_count - 1);
    return true;
}

static bool write_batch(struct sim_kv *store, const struct kv_batch *batch, bool sync, struct error *error) {
    struct state *state = apply(store, store->visible, batch, 0, batch->count);
    if (sync && store->way == SIM_KV_TORN && batch->count > 1) {
        struct state *half = apply(store, store->visible, batch, 0, batch->count / 2);
        note_unsynced(store, half);
        state_unuse(half);
    }
    note_unsynced(store, state);
    if (!sync || store->way == SIM_KV_UNSYNCED) {
        show(store, state);
        return true;
    }
    if (store->way == SIM_KV_VISIBLE_EARLY) {
        show(store, state_use(state));
    }
    bool good = flush(store, error) || store->way == SIM_KV_DENIED;
    if (good) {
        show(store, state);
    } else {
        state_unuse(state);
    }
    return good;
}

static bool handle_write(struct kv *kv, const struct kv_batch *batch, bool sync, struct error *error) {
    struct sim_kv *store = ((struct handle *)kv)->store;
    while (store->writing && sim_alive()) {
        sim_sleep(1);
    }
    if (store->broken || !sim_alive()) {
        return broken(error);
    }
    store->writing = true;
    bool good = write_batch(store, batch, sync, error);
    store->writing = false;
    return good;
}

/* ---- reading ---- */

static bool handle_get(struct kv *kv, struct bytes key, struct arena *arena, struct bytes *value, bool *found,
                       struct error *error) {
    const struct state *state = ((struct handle *)kv)->store->visible;
    size_t at = lower_bound(state, key);
    (void)error;
    *found = is_at(state, at, key);
    if (*found) {
        *value = arena_copy(arena, state->entries[at]->value);
    }
    return true;
}

static struct kv_cursor *cursor_open(struct kv *kv) {
    struct cursor *cursor = malloc(sizeof *cursor);
    if (cursor == NULL) {
        abort();
    }
    *cursor = (struct cursor){{kv->ops}, state_use(((struct handle *)kv)->store->visible), SIZE_MAX};
    return &cursor->base;
}

static void cursor_seek(struct kv_cursor *base, struct bytes key) {
    struct cursor *cursor = (struct cursor *)base;
    cursor->at = lower_bound(cursor->state, key);
}

static void cursor_seek_before(struct kv_cursor *base, struct bytes key) {
    struct cursor *cursor = (struct cursor *)base;
    cursor->at = lower_bound(cursor->state, key);
    cursor->at = cursor->at > 0 ? cursor->at - 1 : SIZE_MAX;
}

static void cursor_next(struct kv_cursor *base) {
    ((struct cursor *)base)->at++;
}

static bool cursor_valid(const struct kv_cursor *base) {
    const struct cursor *cursor = (const struct cursor *)base;
    return cursor->at < cursor->state->count;
}

static struct bytes cursor_key(const struct kv_cursor *base) {
    const struct cursor *cursor = (const struct cursor *)base;
    return cursor->state->entries[cursor->at]->key;
}

static struct bytes cursor_value(const struct kv_cursor *base) {
    const struct cursor *cursor = (const struct cursor *)base;
    return cursor->state->entries[cursor->at]->value;
}

static bool cursor_check(const struct kv_cursor *base, struct error *error) {
    (void)base;
    (void)error;
    return true;
}

static void cursor_close(struct kv_cursor *base) {
    struct cursor *cursor = (struct cursor *)base;
    state_unuse(cursor->state);
    free(cursor);
}

static void handle_close(struct kv *kv) {
    free(kv);
}

static const struct kv_ops handle_ops = {
    .get = handle_get,
    .write = handle_write,
    .cursor_open = cursor_open,
    .cursor_open_bulk = cursor_open,
    .cursor_seek = cursor_seek,
    .cursor_seek_before = cursor_seek_before,
    .cursor_next = cursor_next,
    .cursor_valid = cursor_valid,
    .cursor_key = cursor_key,
    .cursor_value = cursor_value,
    .cursor_check = cursor_check,
    .cursor_close = cursor_close,
    .close = handle_close,
};

/* ---- life ---- */

struct sim_kv *sim_kv_new(void) {
    struct sim_kv *store = calloc(1, sizeof *store);
    if (store == NULL) {
        abort();
    }
    arena_init(&store->arena);
    store->visible = state_new(0);
    note_unsynced(store, store->visible);
    return store;
}

void sim_kv_free(struct sim_kv *store) {
    settle(store, 0);
    state_unuse(store->since[0]);
    state_unuse(store->visible);
    free(store->since);
    arena_free(&store->arena);
    free(store);
}

struct kv *sim_kv_open(struct sim_kv *store) {
    struct handle *handle = malloc(sizeof *handle);
    if (handle == NULL) {
        abort();
    }
    *handle = (struct handle){{&handle_ops}, store};
    return &handle->base;
}

void sim_kv_set_flush_us(struct sim_kv *store, int64_t most_us) {
    store->flush_us = most_us;
}

void sim_kv_fail_next_flush(struct sim_kv *store) {
    store->fail_next = true;
}

void sim_kv_restart(struct sim_kv *store, bool keep) {
    size_t kept = store->since_count - 1;
    settle(store, keep ? kept : (size_t)sim_range(0, (int64_t)kept));
    show(store, state_use(store->since[0]));
    store->writing = false;
    store->broken = false;
    store->fail_next = false;
}

bool sim_kv_keeps(const struct sim_kv *store, struct bytes key) {
    return is_at(store->since[0], lower_bound(store->since[0], key), key);
}

void sim_kv_set_way(struct sim_kv *store, enum sim_kv_way way) {
    store->way = way;
}

void sim_kv_drop_keys(struct sim_kv *store, uint8_t prefix) {
    store->dropped_prefix = prefix;
}
