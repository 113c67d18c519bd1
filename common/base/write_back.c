#include "common/base/write_back.h"

/* What is to stay in memory is only passed. */
static bool forget_to(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error) {
    for (; self->kept + WRITE_BACK_STEP_BYTES <= end; self->kept += WRITE_BACK_STEP_BYTES) {
        if (self->forgets &&
            !file->ops->write_back(file, self->kept, WRITE_BACK_STEP_BYTES, DISK_WRITE_BACK_FORGET, error)) {
            return false;
        }
    }
    return true;
}

static bool wait_for_step(struct write_back *self, struct disk_file *file, struct error *error) {
    if (!file->ops->write_back(file, self->written, WRITE_BACK_STEP_BYTES, DISK_WRITE_BACK_WAIT, error)) {
        return false;
    }
    self->written += WRITE_BACK_STEP_BYTES;
    return self->written - self->kept <= WRITE_BACK_KEPT_BYTES ||
           forget_to(self, file, self->written - WRITE_BACK_KEPT_BYTES, error);
}

bool write_back_advance(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error) {
    while (end >= self->begun + WRITE_BACK_STEP_BYTES) {
        if (!file->ops->write_back(file, self->begun, WRITE_BACK_STEP_BYTES, DISK_WRITE_BACK_BEGIN, error)) {
            return false;
        }
        self->begun += WRITE_BACK_STEP_BYTES;
        if (self->begun - self->written > WRITE_BACK_WINDOW_BYTES && !wait_for_step(self, file, error)) {
            return false;
        }
    }
    return true;
}

bool write_back_end(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error) {
    return forget_to(self, file, end, error);
}
