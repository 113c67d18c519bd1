#include "common/base/pace.h"

int64_t pace_after(struct pace *pace, size_t bytes) {
    if (pace->bytes_per_second == 0) {
        return 0;
    }
    int64_t now_us = clock_monotonic_us(pace->clock);
    pace->due_us = pace->due_us > now_us ? pace->due_us : now_us;
    pace->due_us += (int64_t)((double)bytes * 1e6 / (double)pace->bytes_per_second);
    return (pace->due_us - now_us) / 1000;
}
