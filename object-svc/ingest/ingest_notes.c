#include "object-svc/ingest/ingest_notes.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/base/names.h"
#include "common/checksum/crc32c.h"

/* A note: CRC32C of what follows (4), format (1), bucket's length (1), key's length (2), version (8),
 * payload id (16), size (8), CRC32C of the payload (4), bucket, key. */
enum {
    FORMAT = 1,
    AT_FORMAT = 4,
    AT_BUCKET_SIZE = 5,
    AT_KEY_SIZE = 6,
    AT_VERSION = 8,
    AT_PAYLOAD_ID = 16,
    AT_SIZE = 32,
    AT_CRC32C = 40,
    AT_NAMES = 44,
};

static const char file_name[] = "ingest-notes";

struct ingest_notes {
    struct disk_file *file;
    uint64_t end; /* behind the last note */
    struct buffer added;
};

struct ingest_notes *ingest_notes_open(struct disk *disk, struct error *error) {
    struct disk_file *file = disk->ops->open(disk, file_name, true, error);
    if (file == NULL) {
        return NULL;
    }
    struct ingest_notes *notes = calloc(1, sizeof *notes);
    if (notes == NULL) {
        abort();
    }
    notes->file = file;
    return notes;
}

void ingest_notes_close(struct ingest_notes *notes) {
    if (notes != NULL) {
        notes->file->ops->close(notes->file);
        buffer_free(&notes->added);
        free(notes);
    }
}

void ingest_notes_add(struct ingest_notes *notes, const struct provenance *object) {
    uint8_t head[AT_NAMES];
    size_t bucket_size = strlen(object->bucket);
    size_t key_size = strlen(object->key);
    size_t begin = notes->added.size;
    head[AT_FORMAT] = FORMAT;
    head[AT_BUCKET_SIZE] = (uint8_t)bucket_size;
    head[AT_KEY_SIZE] = (uint8_t)key_size;
    head[AT_KEY_SIZE + 1] = (uint8_t)(key_size >> 8);
    put_le64(head + AT_VERSION, (uint64_t)object->version);
    memcpy(head + AT_PAYLOAD_ID, object->payload_id.raw, sizeof object->payload_id.raw);
    put_le64(head + AT_SIZE, object->size_bytes);
    put_le32(head + AT_CRC32C, object->crc32c);
    buffer_append(&notes->added, head, sizeof head);
    buffer_append(&notes->added, object->bucket, bucket_size);
    buffer_append(&notes->added, object->key, key_size);
    uint8_t *note = notes->added.data + begin;
    put_le32(note, crc32c(bytes_of(note + AT_FORMAT, notes->added.size - begin - AT_FORMAT)));
}

bool ingest_notes_write(struct ingest_notes *notes, bool behind, struct error *error) {
    uint64_t at = behind ? notes->end : 0;
    bool good = notes->added.size <= INGEST_NOTES_MAX_BYTES - at ||
                error_set(error, ERROR_RESOURCE_EXHAUSTED, "NOTES_FULL", "the notes of stored objects are full");
    good = good && FAILPOINT("ingest.note.before") &&
           notes->file->ops->write(notes->file, at, buffer_bytes(&notes->added), error) &&
           FAILPOINT("ingest.note.after");
    if (good) {
        notes->end = at + notes->added.size;
    }
    buffer_clear(&notes->added);
    return good;
}

/* Returns how long the note is; 0: there is none. */
static size_t read_note(struct bytes rest, ingest_note_taker *take, void *self) {
    char bucket[NAME_BUCKET_MAX_BYTES + 1] = {0};
    char key[NAME_KEY_MAX_BYTES + 1] = {0};
    const uint8_t *note = rest.data;
    if (rest.size < AT_NAMES || note[AT_FORMAT] != FORMAT) {
        return 0;
    }
    size_t bucket_size = note[AT_BUCKET_SIZE];
    size_t key_size = note[AT_KEY_SIZE] | (size_t)note[AT_KEY_SIZE + 1] << 8;
    size_t size = AT_NAMES + bucket_size + key_size;
    if (bucket_size > NAME_BUCKET_MAX_BYTES || key_size > NAME_KEY_MAX_BYTES || size > rest.size ||
        get_le32(note) != crc32c(bytes_of(note + AT_FORMAT, size - AT_FORMAT))) {
        return 0;
    }
    memcpy(bucket, note + AT_NAMES, bucket_size);
    memcpy(key, note + AT_NAMES + bucket_size, key_size);
    struct provenance object = {
        .bucket = bucket,
        .key = key,
        .version = (int64_t)get_le64(note + AT_VERSION),
        .size_bytes = get_le64(note + AT_SIZE),
        .crc32c = get_le32(note + AT_CRC32C),
    };
    memcpy(object.payload_id.raw, note + AT_PAYLOAD_ID, sizeof object.payload_id.raw);
    take(self, &object);
    return size;
}

bool ingest_notes_read(struct ingest_notes *notes, ingest_note_taker *take, void *self, struct error *error) {
    uint64_t size;
    if (!notes->file->ops->size(notes->file, &size, error)) {
        return false;
    }
    size = size < INGEST_NOTES_MAX_BYTES ? size : INGEST_NOTES_MAX_BYTES;
    uint8_t *all = malloc(size + 1);
    if (all == NULL) {
        abort();
    }
    int64_t got = notes->file->ops->read(notes->file, 0, all, size, error);
    size_t at = 0;
    size_t length = 1;
    while (got > 0 && length > 0) {
        length = read_note(bytes_of(all + at, (size_t)got - at), take, self);
        at += length;
    }
    notes->end = at;
    free(all);
    return got >= 0;
}
