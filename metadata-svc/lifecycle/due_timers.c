#include "metadata-svc/lifecycle/due_timers.h"

#include "common/base/failpoint.h"

enum { SECOND_US = 1000000 };

static struct bytes key_of_mark(struct arena *arena, int64_t due_us) {
    struct timer mark = {due_us, TIMER_MARK, "", "", 0};
    return layout_timer_key(arena, &mark);
}

/* What is due; marks that are passed go into the batch. */
static int walk(struct due_timers *due, struct arena *arena, int64_t now_us, struct timer *timers, int max,
                struct kv_batch *batch, struct error *error) {
    int count = 0;
    struct timer timer;
    struct kv_cursor *cursor = due->kv->ops->cursor_open(due->kv);
    cursor->ops->cursor_seek(cursor, key_of_mark(arena, due->walk_from_us));
    while (count < max && cursor->ops->cursor_valid(cursor) &&
           layout_read_timer_key(arena, cursor->ops->cursor_key(cursor), &timer) && timer.due_us <= now_us) {
        if (timer.kind == TIMER_MARK) {
            kv_batch_delete(batch, cursor->ops->cursor_key(cursor));
        } else {
            timers[count++] = timer;
        }
        cursor->ops->cursor_next(cursor);
    }
    bool good = cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good ? count : -1;
}

int due_timers_read(struct due_timers *due, struct arena *arena, struct timer *timers, int max, struct error *error) {
    struct kv_batch batch = {0};
    int64_t now_us = clock_unix_us(due->clock);
    int64_t start_us = clock_monotonic_us(due->clock);
    bool clock_went_back = now_us < due->walk_from_us;
    if (due->walks++ % DUE_TIMERS_FULL_WALK_EVERY == 0 || clock_went_back) {
        due->walk_from_us = 0;
    }
    int count = walk(due, arena, now_us, timers, max, &batch, error);
    if (count == 0) {
        due->walk_from_us = now_us - SECOND_US;
    }
    if (clock_monotonic_us(due->clock) - start_us >= due->long_walk_us) {
        kv_batch_put(&batch, key_of_mark(arena, now_us + SECOND_US), (struct bytes){0});
    }
    /* Not synced: a mark that is lost, or left, costs a longer walk. */
    bool good =
        batch.count == 0 || (FAILPOINT("timers.mark.before") && due->kv->ops->write(due->kv, &batch, false, error) &&
                             FAILPOINT("timers.mark.after"));
    kv_batch_free(&batch);
    return good ? count : -1;
}
