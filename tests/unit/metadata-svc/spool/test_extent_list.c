// rooms: metadata_spool
#include <criterion/criterion.h>

#include <stdlib.h>

#include "metadata-svc/spool/extent_list.h"

enum { ALIGN = 64, MIB = 1 << 20 };

static struct segment *segment(size_t number) {
    return (struct segment *)(number * 4096); /* the list never looks into one */
}

static void expect_same(struct extent got, const struct extent *want, size_t index) {
    cr_assert(got.segment == want->segment && got.data_at == want->data_at &&
                  got.payload_offset == want->payload_offset && got.data_bytes == want->data_bytes &&
                  got.data_crc32c == want->data_crc32c,
              "extent %zu", index);
}

/* ---- against an array of extents ---- */

enum { MOST = 400 };

struct model {
    struct extent extents[MOST];
    size_t count;
};

static void add(struct extent_list *list, struct model *model) {
    static const uint32_t sizes[] = {MIB, MIB, MIB, MIB, 1000, 1, 256 * 1024};
    const struct extent *last = model->count > 0 ? &model->extents[model->count - 1] : NULL;
    uint64_t end = last != NULL ? last->payload_offset + last->data_bytes : 0;
    size_t here = last != NULL ? (size_t)last->segment / 4096 : 1;
    struct extent extent = {
        .segment = segment(here + (rand() % 10 == 0)),
        .data_at = (uint64_t)(rand() % 1000000) * ALIGN,
        .payload_offset = end + (rand() % 20 == 0 ? 777 : 0), /* a frame is lost now and then */
        .data_bytes = sizes[rand() % (sizeof sizes / sizeof sizes[0])],
        .data_crc32c = (uint32_t)rand(),
    };
    model->extents[model->count++] = extent;
    extent_list_add(list, &extent);
}

static size_t find(const struct model *model, uint64_t offset) {
    size_t i = 0;
    while (i < model->count && model->extents[i].payload_offset + model->extents[i].data_bytes <= offset) {
        i++;
    }
    return i;
}

static void expect_all(const struct extent_list *list, const struct model *model) {
    cr_assert_eq(list->count, model->count);
    for (size_t i = 0; i < model->count; i++) {
        const struct extent *extent = &model->extents[i];
        expect_same(extent_list_get(list, i), extent, i);
        cr_assert_eq(extent_list_find(list, extent->payload_offset), i);
        cr_assert_eq(extent_list_find(list, extent->payload_offset + extent->data_bytes - 1), i);
    }
    for (int i = 0; i < 50; i++) {
        uint64_t offset = (uint64_t)rand() % (200 * (uint64_t)MIB);
        cr_assert_eq(extent_list_find(list, offset), find(model, offset));
    }
}

Test(extent_list, tells_what_was_added_and_not_cut_off_again) {
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct extent_list list = {0};
        struct model model = {.count = 0};
        srand(seed);
        for (int round = 0; round < 20; round++) {
            for (int adds = rand() % 30; adds > 0 && model.count < MOST; adds--) {
                add(&list, &model);
            }
            if (round % 3 == 2) {
                model.count -= model.count > 0 ? (size_t)rand() % (model.count + 1) : 0;
                extent_list_cut(&list, model.count);
            }
            expect_all(&list, &model);
        }
        extent_list_cut(&list, 0);
        cr_assert_eq(extent_list_find(&list, 0), 0);
        extent_list_free(&list);
    }
}

/* A terabyte beside other uploads: pieces of 1 MiB anywhere in segments of 64 MiB, cut at their ends. */
Test(extent_list, a_large_payload_takes_ten_bytes_per_mebibyte) {
    struct extent_list list = {0};
    const size_t segments = 1 << 14;
    const uint32_t short_bytes = 500000;
    uint64_t offset = 0;
    for (size_t i = 0; i < segments; i++) {
        uint64_t at = 4096;
        for (int piece = 0; piece < 64; piece++) {
            uint32_t size = piece == 0 ? MIB - short_bytes : piece == 63 ? short_bytes : MIB;
            struct extent extent = {segment(i + 1), at, offset, size, (uint32_t)(offset >> 20)};
            extent_list_add(&list, &extent);
            offset += size;
            at += size / ALIGN * ALIGN + 4096 * (1 + (uint64_t)piece % 3);
        }
    }
    cr_assert_leq(list.run_count, 2 * segments);
    cr_assert_leq(list.capacity, list.count + list.count / 8);
    cr_assert_leq(list.run_capacity, list.run_count + list.run_count / 8);
    struct extent last = extent_list_get(&list, list.count - 1);
    cr_assert_eq(last.payload_offset + last.data_bytes, offset);
    cr_assert_eq(extent_list_find(&list, offset - 1), list.count - 1);
    cr_assert_eq(extent_list_find(&list, offset), list.count);
    extent_list_free(&list);
}
