/* The end of volumes that hold nothing but garbage, and the dead lists of the others. */
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "object-svc/hot/dead_list.h"
#include "object-svc/hot/volume_store_parts.h"

/* The index forgets the volume durably before its file goes, so that no entry that power loss
 * brings back can point to nothing unnoticed. The dead list goes last: if the volume came back
 * without it, so would its removed objects. */
static bool delete_volume(struct volume_store *store, const struct volume *volume, struct error *error) {
    struct object_index_batch *batch = object_index_batch_new();
    struct index_volume tombstone = {.id = volume->id, .salt = volume->salt, .sealed = true, .deleted = true};
    object_index_batch_put_volume(batch, &tombstone);
    pthread_mutex_lock(&store->index_lock);
    bool ok = FAILPOINT("volume.delete.before") && object_index_write(store->index, batch, true, error) &&
              FAILPOINT("volume.delete.indexed");
    pthread_mutex_unlock(&store->index_lock);
    object_index_batch_free(batch);
    return ok && volume_store_unlink(store, volume->id, error);
}

bool volume_store_unlink(struct volume_store *store, uint64_t id, struct error *error) {
    struct disk *disk = store->disk;
    char name[VOLUME_NAME_BYTES];
    char list[VOLUME_NAME_BYTES];
    hot_volume_name(id, name);
    dead_list_name(id, list);
    return disk->ops->unlink(disk, name, error) && disk->ops->sync_directory(disk, ".", error) &&
           FAILPOINT("volume.delete.list_left") && disk->ops->unlink(disk, list, error) &&
           FAILPOINT("volume.delete.after");
}

void volume_store_reap(struct volume_store *store) {
    struct volume *volume;
    while (!atomic_load(&store->read_only) && (volume = volume_set_doom(&store->volumes)) != NULL) {
        struct error error;
        if (delete_volume(store, volume, &error)) {
            log_info("hot_volume_deleted", LOG_INT("volume", volume->id), LOG_INT("bytes", volume->size_bytes));
        } else {
            /* It stays on the disk until the next start. */
            log_error("hot_volume_delete_failed", LOG_INT("volume", volume->id), LOG_ERROR(&error));
        }
        volume_set_drop(&store->volumes, volume);
    }
}

/* Two changes may write one list, but only while they hold the index lock; a mark that comes
 * after the sync makes the list dirty again. */
bool volume_store_sync_dead_lists(struct volume_store *store, struct error *error) {
    struct disk *disk = store->disk;
    bool any = false;
    bool ok = true;
    while (ok && !atomic_load(&store->read_only)) {
        struct volume *volume;
        if (!volume_set_take_dirty(&store->volumes, &volume, error)) {
            return false;
        }
        if (volume == NULL) {
            break;
        }
        any = true;
        ok = dead_list_sync(disk, volume->id, error);
        if (volume_set_unpin(&store->volumes, volume)) {
            volume_store_reap(store);
        }
    }
    ok = ok && (!any || disk->ops->sync_directory(disk, ".", error));
    if (!ok && !atomic_exchange(&store->read_only, true)) {
        log_error("hot_dead_list_failed", LOG_ERROR(error),
                  LOG_STR("hint", "hot storage is read-only until object-svc is restarted; check its disk"));
    }
    return ok;
}
