/* Keys of the LevelDB: 'g' bucket 00 key 00 version BE kind, and behind an object's kind its
 * payload id. Values: for an image the record, for an object a byte (1: damaged) and the record. */
#include "metadata-svc/rebuild/gathered.h"

#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/names.h"
#include "metadata-svc/store/kv.h"
#include "metadata-svc/store/record_codec.h"

enum {
    PREFIX = 'g',
    KIND_IMAGE = 1,
    KIND_OBJECT = 2,
    BATCH_OPERATIONS = 1000,
    CACHE_BYTES = 32 << 20,
    WRITE_BUFFER_BYTES = 32 << 20,
    INLINE_DEFAULT_BYTES = 64 * 1024,
};
#define COLD_AFTER_DEFAULT_US (24LL * 3600 * 1000000)

struct bucket_entry {
    struct gathered_bucket seen;
    char name[NAME_BUCKET_MAX_BYTES + 1];
    bool deleted;
    int64_t deleted_us;
};

struct gathered {
    struct kv *kv;
    struct kv_batch batch; /* not yet written; nothing is read before it is */
    struct gathered_counts counts;
    struct bucket_entry *buckets;
    size_t bucket_count;
    size_t bucket_capacity;
    struct gathered_bucket *listed;
};

/* ---- buckets ---- */

static struct bucket_entry *find_bucket(const struct gathered *gathered, const char *name) {
    size_t low = 0;
    size_t high = gathered->bucket_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(gathered->buckets[middle].name, name);
        if (order == 0) {
            return &gathered->buckets[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static void set_defaults(struct bucket_entry *entry) {
    entry->seen.bucket = (struct bucket){
        .storage_class = STORAGE_HOT_AND_COLD,
        .cold_after_us = COLD_AFTER_DEFAULT_US,
        .delete_retention_us = BUCKET_DELETE_RETENTION_DEFAULT_US,
        .payload_deadline_us = BUCKET_PAYLOAD_DEADLINE_DEFAULT_US,
        .on_failure = ON_FAILURE_KEEP_FAILED,
        .inline_max_bytes = INLINE_DEFAULT_BYTES,
        .uid = uuid_make(),
        .version = 1,
    };
}

/* The bucket of that name, made where nothing was known of it. */
static struct bucket_entry *have_bucket(struct gathered *gathered, const char *name) {
    struct bucket_entry *found = find_bucket(gathered, name);
    if (found != NULL) {
        return found;
    }
    if (gathered->bucket_count == gathered->bucket_capacity) {
        gathered->bucket_capacity = gathered->bucket_capacity == 0 ? 16 : gathered->bucket_capacity * 2;
        gathered->buckets = realloc(gathered->buckets, gathered->bucket_capacity * sizeof *gathered->buckets);
        if (gathered->buckets == NULL) {
            abort();
        }
    }
    size_t at = gathered->bucket_count++;
    for (; at > 0 && strcmp(gathered->buckets[at - 1].name, name) > 0; at--) {
        gathered->buckets[at] = gathered->buckets[at - 1];
    }
    struct bucket_entry *entry = &gathered->buckets[at];
    *entry = (struct bucket_entry){0};
    strncpy(entry->name, name, sizeof entry->name - 1);
    set_defaults(entry);
    return entry;
}

static void note_version(struct bucket_entry *entry, int64_t version) {
    entry->deleted = false;
    if (version > entry->seen.newest_version) {
        entry->seen.newest_version = version;
    }
}

size_t gathered_buckets(struct gathered *gathered, const struct gathered_bucket **buckets) {
    size_t count = 0;
    free(gathered->listed);
    gathered->listed = calloc(gathered->bucket_count + 1, sizeof *gathered->listed);
    if (gathered->listed == NULL) {
        abort();
    }
    for (size_t i = 0; i < gathered->bucket_count; i++) {
        struct bucket_entry *entry = &gathered->buckets[i];
        if (!entry->deleted) {
            gathered->listed[count] = entry->seen;
            gathered->listed[count++].bucket.name = entry->name;
        }
    }
    *buckets = gathered->listed;
    return count;
}

void gathered_each_floor(const struct gathered *gathered,
                         void (*visit)(void *context, const char *bucket, int64_t floor), void *context) {
    for (size_t i = 0; i < gathered->bucket_count; i++) {
        const struct bucket_entry *entry = &gathered->buckets[i];
        int64_t floor = entry->seen.bucket.version_floor;
        if (entry->deleted && entry->seen.newest_version > floor) {
            floor = entry->seen.newest_version;
        }
        if (entry->deleted && floor > 0) {
            visit(context, entry->name, floor);
        }
    }
}

/* ---- keys and values ---- */

static void append_name(struct buffer *key, const char *bucket, const char *name) {
    buffer_append_u8(key, PREFIX);
    buffer_append(key, bucket, strlen(bucket));
    if (name != NULL) {
        buffer_append_u8(key, 0);
        buffer_append(key, name, strlen(name));
    }
    buffer_append_u8(key, 0);
}

static struct bytes key_of(struct arena *arena, const struct record *record, uint8_t kind) {
    struct buffer key = {0};
    append_name(&key, record->bucket, record->key);
    buffer_append_be64(&key, (uint64_t)record->version);
    buffer_append_u8(&key, kind);
    if (kind == KIND_OBJECT) {
        buffer_append(&key, record->payload_id.raw, sizeof record->payload_id.raw);
    }
    struct bytes out = arena_copy(arena, buffer_bytes(&key));
    buffer_free(&key);
    return out;
}

static bool flush(struct gathered *gathered, struct error *error) {
    bool good = gathered->batch.count == 0 || (FAILPOINT("rebuild.gather.before") &&
                                               gathered->kv->ops->write(gathered->kv, &gathered->batch, false, error) &&
                                               FAILPOINT("rebuild.gather.after"));
    kv_batch_clear(&gathered->batch);
    return good;
}

static bool put(struct gathered *gathered, struct bytes key, struct bytes value, struct error *error) {
    kv_batch_put(&gathered->batch, key, value);
    return gathered->batch.count < BATCH_OPERATIONS || flush(gathered, error);
}

/* Forgets every version of a key, or with `key` NULL all keys of a bucket. */
static bool forget(struct gathered *gathered, const char *bucket, const char *key, struct error *error) {
    struct buffer prefix = {0};
    append_name(&prefix, bucket, key);
    if (!flush(gathered, error)) {
        buffer_free(&prefix);
        return false;
    }
    struct kv_cursor *cursor = gathered->kv->ops->cursor_open(gathered->kv);
    const struct kv_ops *ops = cursor->ops;
    bool good = true;
    for (ops->cursor_seek(cursor, buffer_bytes(&prefix));
         good && ops->cursor_valid(cursor) && bytes_start_with(ops->cursor_key(cursor), buffer_bytes(&prefix));
         ops->cursor_next(cursor)) {
        kv_batch_delete(&gathered->batch, ops->cursor_key(cursor));
        good = gathered->batch.count < BATCH_OPERATIONS || flush(gathered, error);
    }
    good = good && ops->cursor_check(cursor, error) && flush(gathered, error);
    ops->cursor_close(cursor);
    buffer_free(&prefix);
    return good;
}

/* ---- events ---- */

static int64_t time_of(const Google__Protobuf__Timestamp *time) {
    return time == NULL ? 0 : time->seconds * 1000000 + time->nanos / 1000;
}

static void count_event(struct gathered *gathered, int64_t revision) {
    struct gathered_counts *counts = &gathered->counts;
    if (counts->events++ == 0) {
        counts->first_event = revision;
    } else if (revision > counts->last_event + 1) {
        counts->missing_events += revision - counts->last_event - 1;
    }
    counts->last_event = revision;
    if (revision > counts->newest_revision) {
        counts->newest_revision = revision;
    }
}

static bool add_bucket(struct gathered *gathered, const Waybill__V1__ChangeEvent *event, struct error *error) {
    struct bucket bucket;
    if (!name_check_bucket(event->bucket->name, "bucket", error) || !bucket_from_proto(event->bucket, &bucket, error)) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a bucket's event cannot be read");
    }
    struct bucket_entry *entry = have_bucket(gathered, bucket.name);
    entry->seen.bucket = bucket;
    entry->seen.known = true;
    entry->deleted = event->type == WAYBILL__V1__CHANGE_TYPE__CHANGE_TYPE_BUCKET_DELETED;
    entry->deleted_us = time_of(event->commit_time);
    return !entry->deleted || forget(gathered, bucket.name, NULL, error);
}

static bool check_names(const struct record *record, struct error *error) {
    struct error bad;
    return (name_check_bucket(record->bucket, "bucket", &bad) && name_check_key(record->key, "key", &bad) &&
            record->version >= 1) ||
           error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a record's name cannot be read");
}

static bool add_image(struct gathered *gathered, const Waybill__V1__ChangeEvent *event, struct error *error) {
    struct arena arena;
    struct record record;
    arena_init(&arena);
    bool good = record_from_proto(event->record, &arena, &record, error) && check_names(&record, error);
    if (good) {
        note_version(have_bucket(gathered, record.bucket), record.version);
        /* A key that begins anew was purged: then it begins above 1. */
        bool purged = event->previous_revision == 0 && record.version > 1;
        good = !purged || forget(gathered, record.bucket, record.key, error);
    }
    good = good && put(gathered, key_of(&arena, &record, KIND_IMAGE), record_encode(&record, &arena), error);
    arena_free(&arena);
    return good;
}

bool gathered_add_event(struct gathered *gathered, const Waybill__V1__ChangeEvent *event, struct error *error) {
    if (event->revision <= gathered->counts.last_event) {
        return true; /* told before */
    }
    count_event(gathered, event->revision);
    if (event->bucket != NULL) {
        return add_bucket(gathered, event, error);
    }
    return event->record != NULL
               ? add_image(gathered, event, error)
               : error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "an event tells neither of a record nor a bucket");
}

/* ---- objects ---- */

static bool decode_object(struct bytes value, struct arena *arena, struct gathered_object *object,
                          struct error *error) {
    if (value.size < 1) {
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a gathered object cannot be read");
    }
    object->damaged = value.data[0] != 0;
    return record_decode(bytes_of(value.data + 1, value.size - 1), arena, &object->record, error);
}

static struct bytes encode_object(const struct gathered_object *object, struct arena *arena) {
    struct buffer value = {0};
    buffer_append_u8(&value, object->damaged);
    buffer_append_bytes(&value, record_encode(&object->record, arena));
    struct bytes out = arena_copy(arena, buffer_bytes(&value));
    buffer_free(&value);
    return out;
}

/* Two copies of an object say the same; of a damaged one the other says more. */
static void join_copies(struct gathered_object *object, const struct gathered_object *with) {
    struct record *record = &object->record;
    struct location here = record->locations[0];
    if (object->damaged || !with->damaged) {
        *object = *with;
    } else {
        memcpy(record->locations, with->record.locations, sizeof record->locations);
        record->location_count = with->record.location_count;
    }
    if (record_find_location(record, here.tier, here.replica) < 0 && record->location_count < RECORD_MAX_LOCATIONS) {
        record->locations[record->location_count++] = here;
    }
}

static bool join_known(struct gathered *gathered, struct bytes key, struct gathered_object *object, struct arena *arena,
                       struct error *error) {
    struct bytes value;
    bool found;
    struct gathered_object known;
    if (!flush(gathered, error) || !gathered->kv->ops->get(gathered->kv, key, arena, &value, &found, error)) {
        return false;
    }
    if (found) {
        if (!decode_object(value, arena, &known, error)) {
            return false;
        }
        join_copies(object, &known);
    }
    return true;
}

/* The bucket that it was of may be gone, or be another one by now. */
static bool is_of_former_bucket(const struct gathered *gathered, const struct record *record) {
    const struct bucket_entry *entry = find_bucket(gathered, record->bucket);
    if (entry == NULL || !entry->seen.known || record->update_us == 0) {
        return false;
    }
    return entry->deleted ? record->update_us <= entry->deleted_us : record->update_us < entry->seen.bucket.create_us;
}

bool gathered_add_object(struct gathered *gathered, const Waybill__V1__StoredObject *object, struct error *error) {
    struct arena arena;
    struct gathered_object found = {.damaged = object->damage[0] != '\0'};
    arena_init(&arena);
    bool good = object->record != NULL && record_from_proto(object->record, &arena, &found.record, error) &&
                check_names(&found.record, error) && found.record.location_count == 1;
    if (!good) {
        arena_free(&arena);
        return error_set(error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "what an object says of itself cannot be read");
    }
    gathered->counts.objects++;
    gathered->counts.damaged_objects += found.damaged;
    if (found.record.revision > gathered->counts.newest_revision) {
        gathered->counts.newest_revision = found.record.revision;
    }
    if (is_of_former_bucket(gathered, &found.record)) {
        gathered->counts.objects_of_deleted_buckets++;
    } else {
        struct bytes key = key_of(&arena, &found.record, KIND_OBJECT);
        good = join_known(gathered, key, &found, &arena, error) &&
               put(gathered, key, encode_object(&found, &arena), error);
        if (!uuid_is_zero(&found.record.payload_id)) {
            note_version(have_bucket(gathered, found.record.bucket), found.record.version);
        }
    }
    arena_free(&arena);
    return good;
}

/* ---- the walk ---- */

struct walk {
    struct gathered_key key;
    size_t capacity;
    struct arena arena; /* of the key at hand */
    gathered_visitor *visit;
    void *context;
    struct error *error;
};

/* What a stored key says. */
struct entry_name {
    const char *bucket;
    const char *key;
    int64_t version;
    uint8_t kind;
};

static bool read_name(struct bytes key, struct arena *arena, struct entry_name *name) {
    struct bytes copy = arena_copy(arena, key);
    const uint8_t *end = copy.data + copy.size;
    const uint8_t *bucket_end = memchr(copy.data + 1, 0, copy.size - 1);
    const uint8_t *key_end = bucket_end != NULL ? memchr(bucket_end + 1, 0, (size_t)(end - bucket_end - 1)) : NULL;
    if (key_end == NULL || end - key_end < 1 + 8 + 1) {
        return false;
    }
    *name = (struct entry_name){(const char *)copy.data + 1, (const char *)bucket_end + 1,
                                (int64_t)get_be64(key_end + 1), key_end[9]};
    return true;
}

static bool end_key(struct walk *walk) {
    bool good = walk->key.count == 0 || walk->visit(walk->context, &walk->key, &walk->arena, walk->error);
    walk->key = (struct gathered_key){0};
    walk->capacity = 0;
    arena_free(&walk->arena);
    return good;
}

static struct gathered_version *version_of(struct walk *walk, int64_t version) {
    struct gathered_key *key = &walk->key;
    if (key->count > 0 && key->versions[key->count - 1].version == version) {
        return &key->versions[key->count - 1];
    }
    if (key->count == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 4 : walk->capacity * 2;
        struct gathered_version *versions = arena_alloc(&walk->arena, capacity * sizeof *versions);
        if (key->count > 0) {
            memcpy(versions, key->versions, key->count * sizeof *versions);
        }
        key->versions = versions;
        walk->capacity = capacity;
    }
    key->versions[key->count] = (struct gathered_version){.version = version};
    return &key->versions[key->count++];
}

static bool add_object(struct walk *walk, struct gathered_version *version, struct bytes value) {
    struct gathered_object *objects = arena_alloc(&walk->arena, (version->object_count + 1) * sizeof *objects);
    if (version->object_count > 0) {
        memcpy(objects, version->objects, version->object_count * sizeof *objects);
    }
    version->objects = objects;
    return decode_object(value, &walk->arena, &objects[version->object_count++], walk->error);
}

static bool add_entry(struct walk *walk, struct bytes key, struct bytes value) {
    struct entry_name name = {0};
    struct arena peek;
    arena_init(&peek);
    bool good = read_name(key, &peek, &name) ||
                error_set(walk->error, ERROR_DATA_LOSS, "RECORD_CORRUPT", "a gathered entry has a malformed key");
    bool other = good && walk->key.count > 0 &&
                 (strcmp(walk->key.key, name.key) != 0 || strcmp(walk->key.bucket, name.bucket) != 0);
    good = good && (!other || end_key(walk));
    if (good && walk->key.count == 0) {
        walk->key.bucket = arena_strdup(&walk->arena, name.bucket);
        walk->key.key = arena_strdup(&walk->arena, name.key);
    }
    if (good) {
        struct gathered_version *version = version_of(walk, name.version);
        version->has_image |= name.kind == KIND_IMAGE;
        struct bytes kept = arena_copy(&walk->arena, value);
        good = name.kind == KIND_IMAGE ? record_decode(kept, &walk->arena, &version->image, walk->error)
                                       : add_object(walk, version, kept);
    }
    arena_free(&peek);
    return good;
}

bool gathered_each_key(struct gathered *gathered, gathered_visitor *visit, void *context, struct error *error) {
    static const uint8_t prefix = PREFIX;
    struct walk walk = {.visit = visit, .context = context, .error = error};
    arena_init(&walk.arena);
    if (!flush(gathered, error)) {
        return false;
    }
    struct kv_cursor *cursor = gathered->kv->ops->cursor_open_bulk(gathered->kv);
    const struct kv_ops *ops = cursor->ops;
    bool good = true;
    for (ops->cursor_seek(cursor, bytes_of(&prefix, 1)); good && ops->cursor_valid(cursor); ops->cursor_next(cursor)) {
        good = add_entry(&walk, ops->cursor_key(cursor), ops->cursor_value(cursor));
    }
    good = good && ops->cursor_check(cursor, error) && end_key(&walk);
    ops->cursor_close(cursor);
    arena_free(&walk.arena);
    return good;
}

/* ---- life ---- */

struct gathered *gathered_open(const char *directory, struct error *error) {
    struct leveldb_kv_options options = {.cache_bytes = CACHE_BYTES, .write_buffer_bytes = WRITE_BUFFER_BYTES};
    struct kv *kv = leveldb_kv_open(directory, &options, error);
    if (kv == NULL) {
        return NULL;
    }
    struct gathered *gathered = calloc(1, sizeof *gathered);
    if (gathered == NULL) {
        abort();
    }
    gathered->kv = kv;
    return gathered;
}

void gathered_close(struct gathered *gathered) {
    if (gathered != NULL) {
        gathered->kv->ops->close(gathered->kv);
        kv_batch_free(&gathered->batch);
        free(gathered->buckets);
        free(gathered->listed);
        free(gathered);
    }
}

void gathered_counts(const struct gathered *gathered, struct gathered_counts *counts) {
    *counts = gathered->counts;
}
