#include "tests/simulation/sim_cold.h"

#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "tests/simulation/sim_core.h"

enum { CALL_MOST_MS = 30 };

struct object {
    struct object *next;
    struct provenance provenance; /* its texts are owned */
    struct buffer data;
    unsigned uses; /* readers, and one for being in the store */
};

struct sim_cold {
    struct cold_store base;
    struct object *objects;
    unsigned failures;
    unsigned lies;
    bool unreachable;
    bool trusts;
    bool denies;
    void (*removing)(void *self, const struct provenance *provenance);
    void *self;
};

struct writer {
    struct cold_writer base;
    struct sim_cold *store;
    struct object *object;
};

struct reader {
    struct cold_reader base;
    struct sim_cold *store;
    struct object *object;
};

static char *copy_text(const char *text) {
    char *copy = strdup(text == NULL ? "" : text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

static void object_unuse(struct object *object) {
    if (--object->uses == 0) {
        free((char *)(uintptr_t)object->provenance.bucket);
        free((char *)(uintptr_t)object->provenance.key);
        free((char *)(uintptr_t)object->provenance.content_type);
        buffer_free(&object->data);
        free(object);
    }
}

/* What the descriptor says is none of the simulator's business. */
static struct object *object_new(const struct provenance *provenance) {
    struct object *object = calloc(1, sizeof *object);
    if (object == NULL) {
        abort();
    }
    object->provenance = *provenance;
    object->provenance.bucket = copy_text(provenance->bucket);
    object->provenance.key = copy_text(provenance->key);
    object->provenance.content_type = copy_text(provenance->content_type);
    object->provenance.descriptor = (struct bytes){0};
    object->uses = 1;
    return object;
}

static struct object **find(struct sim_cold *store, const struct cold_name *name) {
    struct object **at = &store->objects;
    while (*at != NULL) {
        const struct provenance *provenance = &(*at)->provenance;
        if (provenance->version == name->version && strcmp(provenance->key, name->key) == 0 &&
            strcmp(provenance->bucket, name->bucket) == 0) {
            break;
        }
        at = &(*at)->next;
    }
    return at;
}

static bool unavailable(struct error *error) {
    return error_set(error, ERROR_UNAVAILABLE, "COLD_STORE_UNAVAILABLE", "the cold store does not answer");
}

static bool call(struct sim_cold *store, struct error *error) {
    sim_sleep(sim_range(1, CALL_MOST_MS) * SIM_MS);
    return (sim_alive() && !store->unreachable && !sim_chance(store->failures)) || unavailable(error);
}

static bool not_found(struct error *error) {
    return error_set(error, ERROR_NOT_FOUND, "OBJECT_NOT_FOUND", "the cold store has no such object");
}

/* ---- writing ---- */

static struct cold_name name_of(const struct provenance *provenance) {
    return (struct cold_name){provenance->bucket, provenance->key, provenance->version};
}

static bool conflicts(struct sim_cold *store, const struct provenance *provenance, struct error *error) {
    struct cold_name name = name_of(provenance);
    const struct object *there = *find(store, &name);
    return there != NULL && !uuid_equal(&there->provenance.payload_id, &provenance->payload_id) &&
           !error_set(error, ERROR_ALREADY_EXISTS, "COLD_OBJECT_CONFLICT", "another payload has the name");
}

static struct cold_writer *begin(struct cold_store *base, const struct provenance *provenance, struct error *error) {
    struct sim_cold *store = (struct sim_cold *)base;
    struct object *object = object_new(provenance);
    if (!call(store, error) || conflicts(store, &object->provenance, error)) {
        object_unuse(object);
        return NULL;
    }
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        abort();
    }
    *writer = (struct writer){{base->ops}, store, object};
    return &writer->base;
}

static bool append(struct cold_writer *base, struct bytes data, struct error *error) {
    struct writer *writer = (struct writer *)base;
    buffer_append_bytes(&writer->object->data, data);
    return call(writer->store, error);
}

static void abort_writer(struct cold_writer *base) {
    object_unuse(((struct writer *)base)->object);
    free(base);
}

static void place(struct sim_cold *store, struct object *object) {
    struct cold_name name = name_of(&object->provenance);
    struct object **at = find(store, &name);
    /* One that replaced a good object by a bad one would defeat whatever was verified before. */
    if (*at == NULL && sim_chance(store->lies) && object->data.size > 0) {
        object->data.data[sim_random() % object->data.size] ^= 1;
        sim_trace("the cold store lies about %s/%s@%lld", name.bucket, name.key, (long long)name.version);
    }
    sim_trace("the cold store takes %s/%s@%lld", name.bucket, name.key, (long long)name.version);
    object->uses++;
    object->next = NULL;
    if (*at != NULL) {
        object->next = (*at)->next;
        object_unuse(*at);
    }
    *at = object;
}

static bool is_whole(const struct object *object, struct error *error) {
    return (object->data.size == object->provenance.size_bytes &&
            crc32c(buffer_bytes(&object->data)) == object->provenance.crc32c) ||
           error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "the object is not the one that was announced");
}

/* An answer that is lost leaves the object where it is. */
static bool finish(struct cold_writer *base, struct error *error) {
    struct writer *writer = (struct writer *)base;
    struct sim_cold *store = writer->store;
    bool good = is_whole(writer->object, error) && (call(store, error) || store->denies) &&
                !conflicts(store, &writer->object->provenance, error);
    if (good && error->code == ERROR_OK) {
        place(store, writer->object);
        good = !sim_chance(store->failures) || unavailable(error);
    }
    abort_writer(base);
    return good;
}

/* ---- reading ---- */

static struct cold_reader *open_object(struct cold_store *base, const struct cold_name *name, struct error *error) {
    struct sim_cold *store = (struct sim_cold *)base;
    if (!call(store, error)) {
        return NULL;
    }
    struct object *object = *find(store, name);
    if (object == NULL) {
        not_found(error);
        return NULL;
    }
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        abort();
    }
    object->uses++;
    *reader = (struct reader){{base->ops}, store, object};
    return &reader->base;
}

static const struct provenance *reader_provenance(const struct cold_reader *base) {
    return &((const struct reader *)base)->object->provenance;
}

static bool corrupt(struct error *error) {
    return error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the cold object is damaged");
}

static int64_t read_object(struct cold_reader *base, uint64_t offset, void *out, size_t size, struct error *error) {
    struct reader *reader = (struct reader *)base;
    const struct object *object = reader->object;
    if (!call(reader->store, error)) {
        return -1;
    }
    if (crc32c(buffer_bytes(&object->data)) != object->provenance.crc32c) {
        corrupt(error);
        return -1;
    }
    uint64_t left = offset < object->data.size ? object->data.size - offset : 0;
    size_t part = left < size ? (size_t)left : size;
    if (part > 0) {
        memcpy(out, object->data.data + offset, part);
    }
    return (int64_t)part;
}

static void close_reader(struct cold_reader *base) {
    object_unuse(((struct reader *)base)->object);
    free(base);
}

static bool verify(struct cold_store *base, const struct provenance *expected, struct error *error) {
    struct sim_cold *store = (struct sim_cold *)base;
    struct cold_name name = name_of(expected);
    if (store->trusts) {
        return true;
    }
    if (!call(store, error)) {
        return false;
    }
    const struct object *object = *find(store, &name);
    if (object == NULL) {
        return not_found(error);
    }
    bool same = uuid_equal(&object->provenance.payload_id, &expected->payload_id) &&
                object->data.size == expected->size_bytes && crc32c(buffer_bytes(&object->data)) == expected->crc32c;
    return same || corrupt(error);
}

static bool remove_object(struct cold_store *base, const struct cold_name *name, struct error *error) {
    struct sim_cold *store = (struct sim_cold *)base;
    if (!call(store, error)) {
        return false;
    }
    struct object **at = find(store, name);
    if (*at != NULL) {
        struct object *object = *at;
        if (store->removing != NULL) {
            store->removing(store->self, &object->provenance);
        }
        *at = object->next;
        object_unuse(object);
    }
    return true;
}

static bool list(struct cold_store *base, const char *bucket, const char *key_prefix, cold_entry_visitor *visit,
                 void *context, struct error *error) {
    (void)error;
    for (struct object *object = ((struct sim_cold *)base)->objects; object != NULL; object = object->next) {
        const struct provenance *provenance = &object->provenance;
        struct cold_entry entry = {name_of(provenance), provenance->size_bytes};
        if ((bucket[0] == '\0' || strcmp(provenance->bucket, bucket) == 0) &&
            strncmp(provenance->key, key_prefix, strlen(key_prefix)) == 0 && !visit(context, &entry)) {
            break;
        }
    }
    return true;
}

static void close_store(struct cold_store *base) {
    (void)base; /* it is somebody else's */
}

static const struct cold_store_ops sim_cold_ops = {
    .name = "simulated",
    .begin = begin,
    .append = append,
    .finish = finish,
    .abort = abort_writer,
    .open_object = open_object,
    .reader_provenance = reader_provenance,
    .read = read_object,
    .close_reader = close_reader,
    .verify = verify,
    .remove = remove_object,
    .list = list,
    .close = close_store,
};

struct cold_store *sim_cold_new(void) {
    struct sim_cold *store = calloc(1, sizeof *store);
    if (store == NULL) {
        abort();
    }
    store->base.ops = &sim_cold_ops;
    return &store->base;
}

void sim_cold_free(struct cold_store *base) {
    struct sim_cold *store = (struct sim_cold *)base;
    while (store->objects != NULL) {
        struct object *object = store->objects;
        store->objects = object->next;
        object_unuse(object);
    }
    free(store);
}

bool sim_cold_is_whole(struct cold_store *base, const struct cold_name *name) {
    struct error error = {0};
    struct object *object = *find((struct sim_cold *)base, name);
    return object != NULL && is_whole(object, &error);
}

void sim_cold_watch_removals(struct cold_store *base, void (*removing)(void *self, const struct provenance *provenance),
                             void *self) {
    ((struct sim_cold *)base)->removing = removing;
    ((struct sim_cold *)base)->self = self;
}

void sim_cold_set_faults(struct cold_store *base, unsigned failures, unsigned lies) {
    ((struct sim_cold *)base)->failures = failures;
    ((struct sim_cold *)base)->lies = lies;
}

void sim_cold_set_reachable(struct cold_store *base, bool reachable) {
    ((struct sim_cold *)base)->unreachable = !reachable;
}

void sim_cold_trust(struct cold_store *base) {
    ((struct sim_cold *)base)->trusts = true;
}

void sim_cold_deny_failures(struct cold_store *base) {
    ((struct sim_cold *)base)->denies = true;
}
