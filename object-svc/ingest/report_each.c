#include "object-svc/ingest/report_each.h"

#include "object-svc/ingest/retry_policy.h"

struct run {
    const struct report_sink *sink;
    struct object_report *reports;
    report_answer *done;
    void *self;
};

static void answer(const struct run *run, size_t first, size_t count, const struct error *error) {
    for (size_t i = first; i < first + count; i++) {
        run->done(run->self, i, error);
    }
}

/* As deep as the logarithm of the count. */
static void report_range(const struct run *run, size_t first, size_t count) {
    struct error error = {0};
    if (run->sink->report(run->sink->self, run->reports + first, count, &error)) {
        answer(run, first, count, NULL);
        return;
    }
    if (count == 1 || !retry_class_counts(retry_class_of(&error, RETRY_PLACE_UPSTREAM))) {
        answer(run, first, count, &error);
        return;
    }
    report_range(run, first, count / 2);
    report_range(run, first + count / 2, count - count / 2);
}

void report_each(const struct report_sink *sink, struct object_report *reports, size_t count, report_answer *done,
                 void *self) {
    struct run run = {sink, reports, done, self};
    if (count > 0) {
        report_range(&run, 0, count);
    }
}
