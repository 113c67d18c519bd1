#include "metadata-svc/store/drop_list.h"

#include "common/base/failpoint.h"
#include "metadata-svc/store/layout.h"

/* The entries of a place are in the order of their times. So its first one that is not old leads to the next
 * place, behind all that begins as this one does. */
static void skip_place(struct kv *kv, struct kv_cursor *cursor, struct bytes place) {
    struct arena arena;
    arena_init(&arena);
    struct bytes next = arena_copy(&arena, place);
    ((uint8_t *)(uintptr_t)next.data)[next.size - 1]++; /* the 00 at its end */
    kv->ops->cursor_seek(cursor, next);
    arena_free(&arena);
}

int64_t drop_list_trim(struct kv *kv, int64_t due_before_us, int64_t max_entries, struct error *error) {
    static const uint8_t first[] = {LAYOUT_DROP_PREFIX};
    struct kv_batch batch = {0};
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    int64_t removed = 0;
    struct bytes place;
    int64_t due_us;
    kv->ops->cursor_seek(cursor, bytes_of(first, sizeof first));
    while (removed < max_entries && kv->ops->cursor_valid(cursor) &&
           layout_split_drop_key(kv->ops->cursor_key(cursor), &place, &due_us)) {
        if (due_us >= due_before_us) {
            skip_place(kv, cursor, place);
            continue;
        }
        kv_batch_delete(&batch, kv->ops->cursor_key(cursor));
        removed++;
        kv->ops->cursor_next(cursor);
    }
    bool good = kv->ops->cursor_check(cursor, error);
    kv->ops->cursor_close(cursor);
    /* Not synced: a trim that is lost is done again. */
    good =
        good && (batch.count == 0 || (FAILPOINT("drop_list.trim.before") && kv->ops->write(kv, &batch, false, error) &&
                                      FAILPOINT("drop_list.trim.after")));
    kv_batch_free(&batch);
    return good ? removed : -1;
}
