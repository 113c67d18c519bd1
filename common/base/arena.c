#include "common/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 4096 };

struct arena_block {
    struct arena_block *older;
    alignas(max_align_t) uint8_t data[];
};

static void *allocate_for_protobuf(void *arena, size_t size) {
    return arena_alloc(arena, size);
}

static void keep_for_protobuf(void *arena, void *pointer) {
    (void)arena;
    (void)pointer;
}

void arena_init(struct arena *arena) {
    *arena = (struct arena){0};
}

void arena_free(struct arena *arena) {
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
    arena_init(arena);
}

void *arena_alloc(struct arena *arena, size_t size) {
    size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (rounded < size) {
        abort();
    }
    if ((size_t)(arena->limit - arena->next) >= rounded && arena->next != NULL) {
        void *out = arena->next;
        arena->next += rounded;
        return out;
    }
    /* A large piece gets a block of its own behind the current one, whose room stays in use. */
    bool own = rounded > ARENA_BLOCK_BYTES / 4 && arena->blocks != NULL;
    size_t room = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
    if (own) {
        room = rounded;
    }
    struct arena_block *block = malloc(sizeof *block + room);
    if (block == NULL) {
        abort();
    }
    if (own) {
        block->older = arena->blocks->older;
        arena->blocks->older = block;
        return block->data;
    }
    block->older = arena->blocks;
    arena->blocks = block;
    arena->next = block->data + rounded;
    arena->limit = block->data + room;
    return block->data;
}

void *arena_zalloc(struct arena *arena, size_t size) {
    void *out = arena_alloc(arena, size);
    memset(out, 0, size);
    return out;
}

char *arena_strdup(struct arena *arena, const char *string) {
    size_t size = strlen(string) + 1;
    return memcpy(arena_alloc(arena, size), string, size);
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        abort();
    }
    char *out = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(out, (size_t)length + 1, format, again);
    va_end(again);
    return out;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes) {
    if (bytes.size == 0) {
        return (struct bytes){0};
    }
    uint8_t *out = arena_alloc(arena, bytes.size);
    memcpy(out, bytes.data, bytes.size);
    return (struct bytes){out, bytes.size};
}

ProtobufCAllocator *arena_protobuf(struct arena *arena) {
    arena->protobuf = (ProtobufCAllocator){allocate_for_protobuf, keep_for_protobuf, arena};
    return &arena->protobuf;
}
