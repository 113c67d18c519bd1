#include "object-svc/hot/volume_set.h"

#include <assert.h>
#include <stdlib.h>

void volume_set_init(struct volume_set *set, struct disk *disk, unsigned max_open_files) {
    *set = (struct volume_set){.disk = disk, .max_open_files = max_open_files};
    pthread_mutex_init(&set->lock, NULL);
}

static void close_file(struct volume_set *set, struct volume *volume) {
    if (volume->file != NULL) {
        volume->file->ops->close(volume->file);
        volume->file = NULL;
        set->open_files--;
    }
}

void volume_set_destroy(struct volume_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        assert(set->volumes[i]->pins == 0);
        close_file(set, set->volumes[i]);
        free(set->volumes[i]);
    }
    free(set->volumes);
    pthread_mutex_destroy(&set->lock);
}

/* Where the volume of that id is, or would be. */
static size_t position(const struct volume_set *set, uint64_t id) {
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->volumes[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct volume *volume_set_find(const struct volume_set *set, uint64_t id) {
    size_t at = position(set, id);
    return at < set->count && set->volumes[at]->id == id ? set->volumes[at] : NULL;
}

struct volume *volume_set_add(struct volume_set *set, const struct volume *volume) {
    struct volume *own = malloc(sizeof *own);
    if (own == NULL) {
        abort();
    }
    *own = *volume;
    pthread_mutex_lock(&set->lock);
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 16 : set->capacity * 2;
        set->volumes = realloc(set->volumes, set->capacity * sizeof *set->volumes);
        if (set->volumes == NULL) {
            abort();
        }
    }
    size_t at = position(set, own->id);
    memmove(set->volumes + at + 1, set->volumes + at, (set->count - at) * sizeof *set->volumes);
    set->volumes[at] = own;
    set->count++;
    if (own->file != NULL) {
        own->pins = 1;
        set->open_files++;
    }
    if (own->id > set->last_id) {
        set->last_id = own->id;
    }
    pthread_mutex_unlock(&set->lock);
    return own;
}

uint64_t volume_set_next_id(struct volume_set *set) {
    pthread_mutex_lock(&set->lock);
    uint64_t id = ++set->last_id;
    pthread_mutex_unlock(&set->lock);
    return id;
}

static void close_least_used(struct volume_set *set) {
    struct volume *least = NULL;
    for (size_t i = 0; i < set->count; i++) {
        struct volume *volume = set->volumes[i];
        if (volume->file != NULL && volume->pins == 0 && (least == NULL || volume->last_use < least->last_use)) {
            least = volume;
        }
    }
    if (least != NULL) {
        close_file(set, least);
    }
}

static bool pin_locked(struct volume_set *set, struct volume *volume, struct error *error) {
    if (volume->file == NULL) {
        if (set->open_files >= set->max_open_files) {
            close_least_used(set);
        }
        char name[VOLUME_NAME_BYTES];
        hot_volume_name(volume->id, name);
        volume->file = set->disk->ops->open(set->disk, name, false, error);
        if (volume->file == NULL) {
            return false;
        }
        set->open_files++;
    }
    volume->pins++;
    volume->last_use = ++set->uses;
    return true;
}

bool volume_set_pin(struct volume_set *set, uint64_t id, struct volume **volume, bool *found, struct error *error) {
    pthread_mutex_lock(&set->lock);
    *volume = volume_set_find(set, id);
    *found = *volume != NULL && !(*volume)->doomed;
    bool ok = !*found || pin_locked(set, *volume, error);
    pthread_mutex_unlock(&set->lock);
    return ok;
}

static bool is_garbage(const struct volume *volume) {
    return volume->sealed && volume->live_objects == 0 && volume->pins == 0 && !volume->doomed;
}

bool volume_set_unpin(struct volume_set *set, struct volume *volume) {
    pthread_mutex_lock(&set->lock);
    assert(volume->pins > 0);
    volume->pins--;
    bool garbage = is_garbage(volume);
    pthread_mutex_unlock(&set->lock);
    return garbage;
}

uint64_t volume_garbage_bytes(const struct volume *volume) {
    static const struct needle seal = {.kind = NEEDLE_SEAL, .block_bytes = NEEDLE_BLOCK_BYTES};
    uint64_t used = VOLUME_HEADER_BYTES + volume->live_bytes + (volume->sealed ? needle_bytes(&seal) : 0);
    return volume->size_bytes > used ? volume->size_bytes - used : 0;
}

static bool meets(const struct volume *volume, const struct volume_wish *wish) {
    uint64_t garbage = volume_garbage_bytes(volume);
    if (volume->sealed && volume->live_objects == 0) {
        return false; /* it goes with its last reader */
    }
    bool at_rest = !volume->appending && !volume->doomed && !volume->quarantined && volume->sealed == wish->sealed;
    if (volume->leaving) {
        return at_rest && volume->live_bytes <= wish->live_max_bytes;
    }
    return at_rest && garbage > 0 && volume->live_bytes <= wish->live_max_bytes &&
           (double)garbage * 100 >= (double)volume->size_bytes * wish->garbage_percent;
}

static bool has_more_garbage(const struct volume *a, const struct volume *b) {
    return (double)volume_garbage_bytes(a) * (double)b->size_bytes >
           (double)volume_garbage_bytes(b) * (double)a->size_bytes;
}

bool volume_set_take_garbage(struct volume_set *set, const struct volume_wish *wish, struct volume **volume,
                             struct error *error) {
    bool ok = true;
    *volume = NULL;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count; i++) {
        if (meets(set->volumes[i], wish) && (*volume == NULL || has_more_garbage(set->volumes[i], *volume))) {
            *volume = set->volumes[i];
        }
    }
    if (*volume != NULL) {
        ok = pin_locked(set, *volume, error);
        (*volume)->appending = ok && !wish->sealed;
    }
    pthread_mutex_unlock(&set->lock);
    return ok;
}

bool volume_set_take_dirty(struct volume_set *set, struct volume **volume, struct error *error) {
    bool ok = true;
    *volume = NULL;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count && *volume == NULL; i++) {
        *volume = set->volumes[i]->dead_dirty && !set->volumes[i]->doomed ? set->volumes[i] : NULL;
    }
    if (*volume != NULL) {
        ok = pin_locked(set, *volume, error);
        (*volume)->dead_dirty = !ok;
    }
    pthread_mutex_unlock(&set->lock);
    return ok;
}

void volume_set_mark_leaving(struct volume_set *set, bool (*is_leaving)(void *self, const char *name), void *self) {
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count; i++) {
        char name[VOLUME_NAME_BYTES];
        hot_volume_name(set->volumes[i]->id, name);
        set->volumes[i]->leaving = is_leaving(self, name);
    }
    pthread_mutex_unlock(&set->lock);
}

bool volume_set_is_leaving(struct volume_set *set, const struct volume *volume) {
    pthread_mutex_lock(&set->lock);
    bool leaving = volume->leaving;
    pthread_mutex_unlock(&set->lock);
    return leaving;
}

bool volume_set_take_unsealed(struct volume_set *set, struct volume **volume, struct error *error) {
    bool ok = true;
    *volume = NULL;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count && *volume == NULL; i++) {
        if (!set->volumes[i]->sealed && !set->volumes[i]->appending && !set->volumes[i]->leaving) {
            *volume = set->volumes[i];
        }
    }
    if (*volume != NULL) {
        ok = pin_locked(set, *volume, error);
        (*volume)->appending = ok;
    }
    pthread_mutex_unlock(&set->lock);
    return ok;
}

struct volume *volume_set_doom(struct volume_set *set) {
    struct volume *doomed = NULL;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->count && doomed == NULL; i++) {
        if (is_garbage(set->volumes[i])) {
            doomed = set->volumes[i];
            doomed->doomed = true;
        }
    }
    pthread_mutex_unlock(&set->lock);
    return doomed;
}

void volume_set_drop(struct volume_set *set, struct volume *volume) {
    pthread_mutex_lock(&set->lock);
    assert(volume->doomed && volume->pins == 0);
    close_file(set, volume);
    size_t at = position(set, volume->id);
    memmove(set->volumes + at, set->volumes + at + 1, (set->count - at - 1) * sizeof *set->volumes);
    set->count--;
    pthread_mutex_unlock(&set->lock);
    free(volume);
}
