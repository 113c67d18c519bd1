#include "object-svc/ingest/look_ahead.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/fair_share.h"
#include "common/base/log.h"
#include "common/stream/stream_ahead.h"
#include "object-svc/ingest/ingest_core.h"

enum {
    LOOK_EVERY_US = 1000000, /* for buckets that are new */
    REST_US = 5000000,       /* after a failure */
};

struct look_ahead {
    struct stream_ahead *ahead;
    int subjects;
    int turn;        /* the subject that is next */
    int64_t look_us; /* when they are to be looked at anew */
    int64_t rest_us; /* until when nothing is tried */
    uint64_t passed[INGEST_BATCH_MAX];
    size_t passed_count;
};

struct look_ahead *look_ahead_new(struct stream_connection *connection, const char *stream, const char *filter) {
    struct look_ahead *self = calloc(1, sizeof *self);
    if (self == NULL) {
        abort();
    }
    self->ahead = stream_ahead_new(connection, stream, "waybill-object-svc-ahead", filter);
    return self;
}

void look_ahead_free(struct look_ahead *self) {
    if (self != NULL) {
        stream_ahead_free(self->ahead);
        free(self);
    }
}

/* What one call gathers. */
struct gathering {
    struct arena *arena;
    struct staged_change *found;
    size_t count;
    uint64_t bytes;
};

/* What cannot be understood is left to its delivery. */
static void take_event(void *context, struct bytes body) {
    struct gathering *gathering = context;
    struct staged_change *change = &gathering->found[gathering->count];
    struct error error = {0};
    if (staged_change_read(body, gathering->arena, change, &error)) {
        gathering->bytes += change->provenance.size_bytes;
        gathering->count++;
    }
}

void look_ahead_begin(struct look_ahead *self) {
    self->passed_count = 0;
}

static bool is_passed_over(const struct look_ahead *self, const char *subject) {
    uint64_t key = fair_share_key(bytes_of_string(subject));
    for (size_t i = 0; i < self->passed_count; i++) {
        if (self->passed[i] == key) {
            return true;
        }
    }
    return false;
}

void look_ahead_pass_over(struct look_ahead *self, const char *subject) {
    if (self->passed_count < INGEST_BATCH_MAX && !is_passed_over(self, subject)) {
        self->passed[self->passed_count++] = fair_share_key(bytes_of_string(subject));
    }
}

static void fail(struct look_ahead *self, const struct error *error, int64_t now_us) {
    log_debug("not_looked_ahead", LOG_ERROR(error));
    self->rest_us = now_us + REST_US;
    self->look_us = 0;
}

static bool look(struct look_ahead *self, int64_t now_us) {
    struct error error = {0};
    if (now_us < self->rest_us) {
        return false;
    }
    if (now_us < self->look_us) {
        return true;
    }
    self->subjects = stream_ahead_look(self->ahead, &error);
    self->look_us = now_us + LOOK_EVERY_US;
    if (self->subjects < 0) {
        fail(self, &error, now_us);
    }
    return self->subjects >= 0;
}

size_t look_ahead_take(struct look_ahead *self, uint64_t after, uint64_t most_bytes, struct arena *arena,
                       struct staged_change found[LOOK_AHEAD_MAX]) {
    int64_t now_us = clock_monotonic_us(&system_clock);
    struct gathering gathering = {.arena = arena, .found = found};
    if (!look(self, now_us)) {
        return 0;
    }
    int asked = 0;
    for (int i = 0; i < self->subjects && asked < LOOK_AHEAD_BUCKETS_MAX && gathering.bytes < most_bytes &&
                    gathering.count + LOOK_AHEAD_OF_A_BUCKET <= LOOK_AHEAD_MAX;
         i++) {
        int index = self->turn++ % self->subjects;
        if (is_passed_over(self, stream_ahead_subject(self->ahead, index))) {
            continue;
        }
        struct error error = {0};
        asked++;
        if (stream_ahead_fetch(self->ahead, index, after, LOOK_AHEAD_OF_A_BUCKET, take_event, &gathering, &error) < 0) {
            fail(self, &error, now_us);
            break;
        }
    }
    self->turn = self->subjects > 0 ? self->turn % self->subjects : 0;
    return gathering.count;
}
