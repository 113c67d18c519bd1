#include "metadata-svc/publish/change_reader.h"
#include "metadata-svc/store/change_log.h"

static bool bounds(void *self, int64_t *oldest, int64_t *newest, struct error *error) {
    return change_log_bounds(self, oldest, newest, error);
}

static bool read_changes(void *self, int64_t revision,
                         bool (*visit)(void *context, int64_t revision, struct bytes event), void *context,
                         struct error *error) {
    return change_log_read(self, revision, visit, context, error);
}

struct change_reader change_log_reader(struct kv *kv) {
    return (struct change_reader){bounds, read_changes, kv};
}
