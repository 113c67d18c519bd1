#include "metadata-svc/spool/extent_list.h"

#include <assert.h>
#include <stdlib.h>

#include "metadata-svc/spool/spool_format.h"

/* Extents that follow on each other in one segment. */
struct extent_run {
    struct segment *segment;
    uint64_t payload_offset; /* of its first byte */
    size_t first;            /* of its extents */
    uint32_t data_bytes;     /* of each but the last */
    uint32_t last_bytes;     /* at most as many */
};

struct extent_frame {
    uint32_t place; /* of its data in the segment, in units of SPOOL_ALIGN_BYTES */
    uint32_t data_crc32c;
};

/* Room for one more. A list that is long gets longer by an eighth, so that little of it is empty. */
static void *have_room(void *array, size_t count, size_t *capacity, size_t item_bytes) {
    if (count < *capacity) {
        return array;
    }
    *capacity = count < 8 ? count * 2 + 1 : count + count / 8;
    void *grown = realloc(array, *capacity * item_bytes);
    if (grown == NULL) {
        abort();
    }
    return grown;
}

static size_t extents_of(const struct extent_list *list, size_t run) {
    size_t end = run + 1 < list->run_count ? list->runs[run + 1].first : list->count;
    return end - list->runs[run].first;
}

static uint64_t end_of(const struct extent_list *list, size_t run) {
    const struct extent_run *self = &list->runs[run];
    return self->payload_offset + (uint64_t)(extents_of(list, run) - 1) * self->data_bytes + self->last_bytes;
}

/* Whether the last run goes on with it. */
static bool goes_on(const struct extent_list *list, const struct extent *extent) {
    if (list->run_count == 0) {
        return false;
    }
    const struct extent_run *run = &list->runs[list->run_count - 1];
    return run->segment == extent->segment && run->last_bytes == run->data_bytes &&
           extent->data_bytes <= run->data_bytes && end_of(list, list->run_count - 1) == extent->payload_offset;
}

static void begin_run(struct extent_list *list, const struct extent *extent) {
    list->runs = have_room(list->runs, list->run_count, &list->run_capacity, sizeof *list->runs);
    list->runs[list->run_count++] = (struct extent_run){.segment = extent->segment,
                                                        .payload_offset = extent->payload_offset,
                                                        .first = list->count,
                                                        .data_bytes = extent->data_bytes,
                                                        .last_bytes = extent->data_bytes};
}

void extent_list_add(struct extent_list *list, const struct extent *extent) {
    assert(extent->data_bytes > 0 && extent->data_at % SPOOL_ALIGN_BYTES == 0 &&
           extent->data_at / SPOOL_ALIGN_BYTES <= UINT32_MAX);
    list->frames = have_room(list->frames, list->count, &list->capacity, sizeof *list->frames);
    if (!goes_on(list, extent)) {
        begin_run(list, extent);
    }
    list->runs[list->run_count - 1].last_bytes = extent->data_bytes;
    list->frames[list->count++] =
        (struct extent_frame){(uint32_t)(extent->data_at / SPOOL_ALIGN_BYTES), extent->data_crc32c};
}

/* The run that holds the extent. */
static size_t run_of_index(const struct extent_list *list, size_t index) {
    size_t low = 0;
    size_t high = list->run_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (list->runs[middle].first <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

struct extent extent_list_get(const struct extent_list *list, size_t index) {
    assert(index < list->count);
    size_t number = run_of_index(list, index);
    const struct extent_run *run = &list->runs[number];
    size_t within = index - run->first;
    return (struct extent){
        .segment = run->segment,
        .data_at = (uint64_t)list->frames[index].place * SPOOL_ALIGN_BYTES,
        .payload_offset = run->payload_offset + (uint64_t)within * run->data_bytes,
        .data_bytes = within + 1 == extents_of(list, number) ? run->last_bytes : run->data_bytes,
        .data_crc32c = list->frames[index].data_crc32c,
    };
}

size_t extent_list_find(const struct extent_list *list, uint64_t payload_offset) {
    size_t low = 0;
    size_t high = list->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(list, middle) <= payload_offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == list->run_count) {
        return list->count;
    }
    const struct extent_run *run = &list->runs[low];
    uint64_t skip = payload_offset > run->payload_offset ? payload_offset - run->payload_offset : 0;
    return run->first + (size_t)(skip / run->data_bytes);
}

void extent_list_cut(struct extent_list *list, size_t count) {
    assert(count <= list->count);
    if (count == list->count) {
        return;
    }
    while (list->run_count > 0 && list->runs[list->run_count - 1].first >= count) {
        list->run_count--;
        list->count = list->run_count > 0 ? list->runs[list->run_count].first : 0;
    }
    if (list->run_count > 0 && count < list->count) {
        list->runs[list->run_count - 1].last_bytes = list->runs[list->run_count - 1].data_bytes;
    }
    list->count = count;
}

void extent_list_free(struct extent_list *list) {
    free(list->runs);
    free(list->frames);
    *list = (struct extent_list){0};
}
