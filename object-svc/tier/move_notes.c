#include "object-svc/tier/move_notes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/checksum/crc32c.h"

/* A slot: format (1), tier (1), bucket's length (1), 0 (1), key's length (4), version (8), payload
 * id (16), size (8), CRC32C of the payload (4), CRC32C of the slot with 0 here (4), bucket, key.
 * An empty one is all zero. */
enum {
    FORMAT = 1,
    AT_TIER = 1,
    AT_BUCKET_SIZE = 2,
    AT_KEY_SIZE = 4,
    AT_VERSION = 8,
    AT_PAYLOAD_ID = 16,
    AT_SIZE = 32,
    AT_CRC32C = 40,
    AT_CHECK = 44,
    AT_NAMES = 48,
};

static const char file_name[] = "notes";

struct slot {
    bool taken;
    bool left; /* nobody is at it: of an earlier run, or of a move that did not come to its end */
    struct move_note note;
};

struct move_notes {
    struct disk *disk;
    struct disk_file *file;
    pthread_mutex_t lock; /* the slots */
    struct slot slots[MOVE_NOTES_MAX];
};

void move_note_encode(const struct move_note *note, uint8_t slot[MOVE_NOTE_BYTES]) {
    size_t bucket_size = strlen(note->object.bucket);
    size_t key_size = strlen(note->object.key);
    memset(slot, 0, MOVE_NOTE_BYTES);
    slot[0] = FORMAT;
    slot[AT_TIER] = (uint8_t)note->tier;
    slot[AT_BUCKET_SIZE] = (uint8_t)bucket_size;
    put_le32(slot + AT_KEY_SIZE, (uint32_t)key_size);
    put_le64(slot + AT_VERSION, (uint64_t)note->object.version);
    memcpy(slot + AT_PAYLOAD_ID, note->object.payload_id.raw, sizeof note->object.payload_id.raw);
    put_le64(slot + AT_SIZE, note->object.size_bytes);
    put_le32(slot + AT_CRC32C, note->object.crc32c);
    memcpy(slot + AT_NAMES, note->object.bucket, bucket_size);
    memcpy(slot + AT_NAMES + bucket_size, note->object.key, key_size);
    put_le32(slot + AT_CHECK, crc32c(bytes_of(slot, MOVE_NOTE_BYTES)));
}

bool move_note_decode(const uint8_t slot[MOVE_NOTE_BYTES], struct move_note *note) {
    uint8_t copy[MOVE_NOTE_BYTES];
    memcpy(copy, slot, sizeof copy);
    put_le32(copy + AT_CHECK, 0);
    size_t bucket_size = slot[AT_BUCKET_SIZE];
    size_t key_size = get_le32(slot + AT_KEY_SIZE);
    if (slot[0] != FORMAT || get_le32(slot + AT_CHECK) != crc32c(bytes_of(copy, sizeof copy)) ||
        bucket_size > NAME_BUCKET_MAX_BYTES || key_size > NAME_KEY_MAX_BYTES ||
        (slot[AT_TIER] != OBJECT_TIER_HOT && slot[AT_TIER] != OBJECT_TIER_COLD)) {
        return false;
    }
    *note = (struct move_note){.tier = (enum object_tier)slot[AT_TIER]};
    struct moved_object *object = &note->object;
    object->version = (int64_t)get_le64(slot + AT_VERSION);
    memcpy(object->payload_id.raw, slot + AT_PAYLOAD_ID, sizeof object->payload_id.raw);
    object->size_bytes = get_le64(slot + AT_SIZE);
    object->crc32c = get_le32(slot + AT_CRC32C);
    memcpy(object->bucket, slot + AT_NAMES, bucket_size);
    memcpy(object->key, slot + AT_NAMES + bucket_size, key_size);
    return true;
}

/* ---- the file ---- */

static bool read_slots(struct move_notes *notes, struct error *error) {
    for (int i = 0; i < MOVE_NOTES_MAX; i++) {
        uint8_t slot[MOVE_NOTE_BYTES];
        int64_t got = notes->file->ops->read(notes->file, (uint64_t)i * sizeof slot, slot, sizeof slot, error);
        if (got < 0) {
            return false;
        }
        notes->slots[i].left = got == sizeof slot && move_note_decode(slot, &notes->slots[i].note);
        notes->slots[i].taken = notes->slots[i].left;
    }
    return true;
}

struct move_notes *move_notes_open(struct disk *disk, struct error *error) {
    struct move_notes *notes = calloc(1, sizeof *notes);
    if (notes == NULL) {
        abort();
    }
    pthread_mutex_init(&notes->lock, NULL);
    notes->disk = disk;
    notes->file = disk->ops->open(disk, file_name, true, error);
    if (notes->file == NULL || !read_slots(notes, error)) {
        move_notes_close(notes);
        return NULL;
    }
    return notes;
}

void move_notes_close(struct move_notes *notes) {
    if (notes == NULL) {
        return;
    }
    if (notes->file != NULL) {
        notes->file->ops->close(notes->file);
    }
    pthread_mutex_destroy(&notes->lock);
    free(notes);
}

static int take_slot(struct move_notes *notes) {
    int slot = -1;
    pthread_mutex_lock(&notes->lock);
    for (int i = 0; i < MOVE_NOTES_MAX && slot < 0; i++) {
        if (!notes->slots[i].taken) {
            notes->slots[i].taken = true;
            slot = i;
        }
    }
    pthread_mutex_unlock(&notes->lock);
    return slot;
}

static void give_back(struct move_notes *notes, int slot) {
    pthread_mutex_lock(&notes->lock);
    notes->slots[slot].taken = false;
    notes->slots[slot].left = false;
    pthread_mutex_unlock(&notes->lock);
}

static bool write_slot(struct move_notes *notes, int slot, const uint8_t bytes[MOVE_NOTE_BYTES], struct error *error) {
    return notes->file->ops->write(notes->file, (uint64_t)slot * MOVE_NOTE_BYTES, bytes_of(bytes, MOVE_NOTE_BYTES),
                                   error);
}

int move_notes_add(struct move_notes *notes, const struct move_note *note, struct error *error) {
    uint8_t bytes[MOVE_NOTE_BYTES];
    int slot = take_slot(notes);
    if (slot < 0) {
        error_set(error, ERROR_RESOURCE_EXHAUSTED, "MOVES_FULL", "%d objects are being moved; try again",
                  MOVE_NOTES_MAX);
        return -1;
    }
    notes->slots[slot].note = *note; /* nobody looks at it before it is left */
    move_note_encode(note, bytes);
    if (!write_slot(notes, slot, bytes, error)) {
        give_back(notes, slot);
        return -1;
    }
    return slot;
}

bool move_notes_clear(struct move_notes *notes, int slot, struct error *error) {
    static const uint8_t empty[MOVE_NOTE_BYTES];
    bool good = write_slot(notes, slot, empty, error);
    give_back(notes, slot);
    return good;
}

void move_notes_leave(struct move_notes *notes, int slot) {
    pthread_mutex_lock(&notes->lock);
    notes->slots[slot].left = true;
    pthread_mutex_unlock(&notes->lock);
}

int move_notes_next(struct move_notes *notes, int from, struct move_note *note) {
    int slot = -1;
    pthread_mutex_lock(&notes->lock);
    for (int i = from; i < MOVE_NOTES_MAX && slot < 0; i++) {
        if (notes->slots[i].left) {
            *note = notes->slots[i].note;
            slot = i;
        }
    }
    pthread_mutex_unlock(&notes->lock);
    return slot;
}
