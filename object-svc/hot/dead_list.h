/* Which needles of a hot volume are dead: an append-only file of marks beside the volume,
 * `volume-<16 hex digits>.dead`, which goes with it. docs/formats/hot-volume.md describes it.
 *
 * The index alone says which needles live, but it can be lost; the marks keep a removed object
 * from coming back when the index is rebuilt from the volumes. Whoever changes the index writes
 * them (index_change.h), one thread at a time. */
#ifndef WAYBILL_HOT_DEAD_LIST_H
#define WAYBILL_HOT_DEAD_LIST_H

#include "object-svc/hot/hot_volume.h"

enum { DEAD_MARK_BYTES = 32 };

/* One needle: where it is, and whose it is. */
struct dead_mark {
    uint64_t offset;
    struct uuid payload_id;
};

void dead_list_name(uint64_t volume, char name[VOLUME_NAME_BYTES]);
bool dead_list_parse_name(const char *name, uint64_t *volume);

/* `salt` is the volume's, so that no other volume's marks pass. */
void dead_mark_encode(uint64_t salt, const struct dead_mark *mark, struct buffer *out);
bool dead_mark_decode(uint64_t salt, const uint8_t in[DEAD_MARK_BYTES], struct dead_mark *mark);

/* Marks that were read, by offset. */
struct dead_list {
    struct dead_mark *marks;
    size_t count;
    uint64_t end;     /* length of the file in whole marks, in bytes */
    uint64_t damaged; /* marks that could not be read; the objects may come back */
};

/* Reads the marks from byte `from` on; the file must be there. */
bool dead_list_read(struct disk *disk, uint64_t volume, uint64_t salt, uint64_t from, struct dead_list *list,
                    struct error *error);
bool dead_list_has(const struct dead_list *list, uint64_t offset, const struct uuid *payload_id);
void dead_list_free(struct dead_list *list);

/* Writes encoded marks at that place of the file, which is made where it is missing. Not synced. */
bool dead_list_write(struct disk *disk, uint64_t volume, uint64_t at, struct bytes marks, struct error *error);
/* Makes it durable; its name needs a sync of the directory. */
bool dead_list_sync(struct disk *disk, uint64_t volume, struct error *error);
/* Takes back, durably, what was written from `end` on. */
bool dead_list_cut(struct disk *disk, uint64_t volume, uint64_t end, struct error *error);

#endif
