/* Memory that lives as long as one request: taken piece by piece, given back at once.
 *
 * An arena belongs to one thread at a time; handing it on with the request is fine. An
 * allocation never fails: the process aborts when memory is gone, since the sizes that a
 * caller can ask for are bounded long before. */
#ifndef WAYBILL_BASE_ARENA_H
#define WAYBILL_BASE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; the newest is the one with room */
    uint8_t *next;
    uint8_t *limit;
    ProtobufCAllocator protobuf; /* allocates from this arena */
};

/* An empty arena takes no memory until the first allocation. */
void arena_init(struct arena *arena);
/* Gives all of it back; the arena is then as after arena_init. */
void arena_free(struct arena *arena);

/* `size` bytes aligned for any type, not cleared. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same, cleared. */
void *arena_zalloc(struct arena *arena, size_t size);
/* A NUL-terminated copy. */
char *arena_strdup(struct arena *arena, const char *string);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A copy of the bytes. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

/* The allocator to hand to protobuf-c's unpack; what it made is freed with the arena, never
 * by free_unpacked. Moves with the arena struct, so take it anew after a move. */
ProtobufCAllocator *arena_protobuf(struct arena *arena);

#endif
