#include "metadata-svc/commit/policy_sweep.h"

#include <string.h>

#include "metadata-svc/commit/retention.h"
#include "metadata-svc/store/layout.h"

static struct timer timer_of(const char *bucket, int64_t due_us) {
    return (struct timer){due_us, TIMER_SWEEP, bucket, "", 0};
}

/* Puts the entry, and the timer that goes on with it. */
static void go_on(struct change_builder *builder, const char *bucket, struct policy_sweep *sweep, struct arena *arena) {
    sweep->due_us = builder->now_us + 1;
    struct timer timer = timer_of(bucket, sweep->due_us);
    overlay_put(&builder->overlay, layout_sweep_key(arena, bucket), record_store_sweep_value(sweep, arena));
    overlay_put(&builder->overlay, layout_timer_key(arena, &timer), (struct bytes){0});
}

/* ---- the beginning ---- */

/* Of limits for which 0 means none. */
static bool is_tighter(int64_t before, int64_t after) {
    return after > 0 && (before == 0 || after < before);
}

bool policy_sweep_begin(struct change_builder *builder, const struct bucket *before, const struct bucket *after,
                        struct arena *arena, struct error *error) {
    bool versions = is_tighter(before->max_versions, after->max_versions) ||
                    is_tighter(before->version_retention_us, after->version_retention_us);
    bool heads = is_tighter(before->expire_after_us, after->expire_after_us) ||
                 after->delete_retention_us < before->delete_retention_us;
    struct policy_sweep sweep = {0};
    bool found;
    if (!versions && !heads) {
        return true;
    }
    if (!record_store_get_sweep(overlay_lookup(&builder->overlay), after->name, arena, &sweep, &found, error)) {
        return false;
    }
    if (found) {
        struct timer timer = timer_of(after->name, sweep.due_us);
        overlay_delete(&builder->overlay, layout_timer_key(arena, &timer));
    }
    sweep.versions |= versions;
    sweep.heads |= heads;
    sweep.key = "";
    sweep.version = 0;
    go_on(builder, after->name, &sweep, arena);
    return true;
}

/* ---- a step ---- */

struct step {
    struct change_builder *builder;
    struct bucket bucket;
    struct policy_sweep sweep;
    struct record_head head; /* of the key that the sweep is at, where it goes through older versions */
    bool head_found;
    struct arena *arena;
};

static bool review_version(struct step *step, const struct layout_name *name, struct error *error) {
    const char *bucket = step->bucket.name;
    bool same_key = step->head.record.key != NULL && strcmp(step->head.record.key, name->key) == 0;
    if (!same_key && !record_store_get_head(overlay_lookup(&step->builder->overlay), bucket, name->key, step->arena,
                                            &step->head, &step->head_found, error)) {
        return false;
    }
    return !step->head_found ||
           retention_review_version(step->builder, &step->bucket, &step->head, name->version, step->arena, error);
}

/* What was written since the cursor was opened has its timers by the policy as it is now. */
static bool review_head(struct step *step, struct bytes value, struct error *error) {
    struct record_head head;
    if (!record_store_decode_head(value, step->arena, &head, error)) {
        return false;
    }
    retention_review_head(step->builder, &step->bucket, &head.record, step->arena);
    return true;
}

/* The key that the walk goes on behind, or begins at. */
static struct bytes position_of(const struct step *step) {
    const struct policy_sweep *sweep = &step->sweep;
    if (!sweep->versions) {
        return layout_head_key(step->arena, step->bucket.name, sweep->key);
    }
    return sweep->key[0] != '\0' ? layout_version_key(step->arena, step->bucket.name, sweep->key, sweep->version)
                                 : layout_versions_prefix(step->arena, step->bucket.name);
}

/* Looks at the next of what is gone through; `ended` tells that there were no more. */
static bool walk(struct step *step, bool *ended, struct error *error) {
    struct kv *kv = step->builder->overlay.kv;
    struct policy_sweep *sweep = &step->sweep;
    struct bytes prefix = sweep->versions ? layout_versions_prefix(step->arena, step->bucket.name)
                                          : layout_head_key(step->arena, step->bucket.name, "");
    struct bytes after = position_of(step);
    struct kv_cursor *cursor = kv->ops->cursor_open(kv);
    const unsigned most = sweep->versions ? SWEEP_VERSIONS_STEP : SWEEP_HEADS_STEP;
    bool good = true;
    unsigned looked_at = 0;
    cursor->ops->cursor_seek(cursor, after);
    for (; good && looked_at < most && cursor->ops->cursor_valid(cursor); cursor->ops->cursor_next(cursor)) {
        struct bytes key = cursor->ops->cursor_key(cursor);
        struct layout_name name;
        if (!bytes_start_with(key, prefix)) {
            break;
        }
        if (bytes_equal(key, after)) {
            continue;
        }
        looked_at++;
        if (!layout_read_name(step->arena, key, &name)) {
            continue; /* what is wrong with it is for its readers to say */
        }
        good = sweep->versions ? review_version(step, &name, error)
                               : review_head(step, cursor->ops->cursor_value(cursor), error);
        sweep->key = name.key;
        sweep->version = name.version;
    }
    *ended = looked_at < most;
    good = good && cursor->ops->cursor_check(cursor, error);
    cursor->ops->cursor_close(cursor);
    return good;
}

static bool find_sweep(struct step *step, const struct timer *timer, bool *found, struct error *error) {
    if (!change_builder_find_bucket(step->builder, timer->bucket, step->arena, &step->bucket, found, error)) {
        return false;
    }
    return !*found || record_store_get_sweep(overlay_lookup(&step->builder->overlay), timer->bucket, step->arena,
                                             &step->sweep, found, error);
}

bool policy_sweep_step(struct change_builder *builder, const struct timer *timer, struct arena *arena,
                       struct error *error) {
    struct step step = {.builder = builder, .arena = arena};
    bool found;
    bool ended;
    if (!find_sweep(&step, timer, &found, error)) {
        return false;
    }
    overlay_delete(&builder->overlay, layout_timer_key(arena, timer));
    if (!found || step.sweep.due_us != timer->due_us) {
        return true; /* it ended, or began anew */
    }
    if (!walk(&step, &ended, error)) {
        return false;
    }
    if (ended) {
        bool older_ones = step.sweep.versions;
        step.sweep.versions = false;
        step.sweep.heads &= older_ones;
        step.sweep.key = "";
        step.sweep.version = 0;
    }
    if (step.sweep.versions || step.sweep.heads) {
        go_on(builder, timer->bucket, &step.sweep, arena);
    } else {
        overlay_delete(&builder->overlay, layout_sweep_key(arena, timer->bucket));
    }
    return true;
}
