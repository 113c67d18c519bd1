// rooms: waybill_base
#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdlib.h>

#include "common/base/arena.h"

Test(arena, pieces_are_aligned_and_do_not_overlap) {
    struct arena arena;
    uint8_t *pieces[500];
    arena_init(&arena);
    for (size_t i = 0; i < 500; i++) {
        size_t size = i * 37 % 9000;
        pieces[i] = arena_alloc(&arena, size);
        cr_assert_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t at = 0; at < i * 37 % 9000; at++) {
            cr_assert_eq(pieces[i][at], i % 251);
        }
    }
    arena_free(&arena);
}

Test(arena, zalloc_clears_memory_that_was_used_before) {
    struct arena arena;
    arena_init(&arena);
    for (int round = 0; round < 3; round++) {
        memset(arena_alloc(&arena, 3000), 0xff, 3000);
        const uint8_t *zeros = arena_zalloc(&arena, 1000);
        for (size_t i = 0; i < 1000; i++) {
            cr_assert_eq(zeros[i], 0);
        }
        arena_free(&arena);
    }
}

Test(arena, copies_and_prints_text) {
    struct arena arena;
    arena_init(&arena);
    char source[] = "text";
    const char *copy = arena_strdup(&arena, source);
    struct bytes bytes = arena_copy(&arena, bytes_of(source, 4));
    source[0] = 'X';
    cr_assert_str_eq(copy, "text");
    cr_assert(bytes_equal(bytes, bytes_of_string("text")));
    cr_assert_str_eq(arena_printf(&arena, "%s-%05d", "key", 42), "key-00042");
    cr_assert_eq(strlen(arena_printf(&arena, "%9999d", 1)), 9999);
    cr_assert_eq(arena_copy(&arena, (struct bytes){0}).size, 0);
    arena_free(&arena);
}

Test(arena, is_as_new_after_free) {
    struct arena arena;
    arena_init(&arena);
    arena_free(&arena);
    cr_assert_not_null(arena_alloc(&arena, 10));
    arena_free(&arena);
    cr_assert_null(arena.blocks);
}

Test(arena, serves_protobuf_whose_frees_do_nothing) {
    struct arena arena;
    arena_init(&arena);
    ProtobufCAllocator *allocator = arena_protobuf(&arena);
    char *text = allocator->alloc(allocator->allocator_data, 5);
    memcpy(text, "kept", 5);
    allocator->free(allocator->allocator_data, text);
    cr_assert_neq(allocator->alloc(allocator->allocator_data, 5), text);
    cr_assert_str_eq(text, "kept");
    arena_free(&arena);
}
