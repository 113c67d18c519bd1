#include "common/base/write_back.h"

bool write_back_advance(struct write_back *self, struct disk_file *file, uint64_t end, struct error *error) {
    while (end >= self->begun + WRITE_BACK_STEP_BYTES) {
        if (!file->ops->write_back(file, self->begun, WRITE_BACK_STEP_BYTES, DISK_WRITE_BACK_BEGIN, error)) {
            return false;
        }
        self->begun += WRITE_BACK_STEP_BYTES;
        if (self->begun - self->written <= WRITE_BACK_WINDOW_BYTES) {
            continue;
        }
        enum disk_write_back how = self->forgets ? DISK_WRITE_BACK_FORGET : DISK_WRITE_BACK_WAIT;
        if (!file->ops->write_back(file, self->written, WRITE_BACK_STEP_BYTES, how, error)) {
            return false;
        }
        self->written += WRITE_BACK_STEP_BYTES;
    }
    return true;
}
