#include "object-svc/tier/recall_notes.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/checksum/crc32c.h"

/* The file: format (4), notes (4), CRC32C of the rest (4), then each note: uid (16), class (1);
 * numbers little-endian. */
enum { FORMAT = 1, HEAD_BYTES = 12, NOTE_BYTES = 17 };

static const char file_name[] = "recall-notes";
static const char aside_name[] = "recall-notes.new";

static void *zeroed(size_t size) {
    void *memory = calloc(1, size > 0 ? size : 1);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* The whole file; NULL where it is missing or damaged. */
static uint8_t *read_file(struct disk *disk, uint64_t *size) {
    struct error ignored = {0};
    uint8_t *bytes = NULL;
    *size = 0;
    struct disk_file *file = disk->ops->open(disk, file_name, false, &ignored);
    if (file == NULL) {
        return NULL;
    }
    if (file->ops->size(file, size, &ignored) && *size >= HEAD_BYTES) {
        bytes = zeroed(*size);
        bool whole = file->ops->read(file, 0, bytes, *size, &ignored) == (int64_t)*size && get_le32(bytes) == FORMAT &&
                     (*size - HEAD_BYTES) / NOTE_BYTES == get_le32(bytes + 4) &&
                     (*size - HEAD_BYTES) % NOTE_BYTES == 0 &&
                     get_le32(bytes + 8) == crc32c(bytes_of(bytes + HEAD_BYTES, *size - HEAD_BYTES));
        if (!whole) {
            free(bytes);
            bytes = NULL;
        }
    }
    file->ops->close(file);
    return bytes;
}

struct recall_note *recall_notes_read(struct disk *disk, size_t *count) {
    uint64_t size;
    uint8_t *bytes = read_file(disk, &size);
    *count = bytes != NULL ? (size - HEAD_BYTES) / NOTE_BYTES : 0;
    struct recall_note *notes = zeroed(*count * sizeof *notes);
    for (size_t i = 0; i < *count; i++) {
        const uint8_t *from = bytes + HEAD_BYTES + i * NOTE_BYTES;
        memcpy(notes[i].bucket_uid.raw, from, sizeof notes[i].bucket_uid.raw);
        notes[i].storage_class = from[sizeof notes[i].bucket_uid.raw];
    }
    free(bytes);
    return notes;
}

static bool write_file(struct disk *disk, struct bytes bytes, struct error *error) {
    struct disk_file *file = disk->ops->open(disk, aside_name, true, error);
    bool good = file != NULL && FAILPOINT("recall_notes.before") && file->ops->truncate(file, 0, error) &&
                file->ops->write(file, 0, bytes, error) && file->ops->sync(file, error);
    if (file != NULL) {
        file->ops->close(file);
    }
    return good && FAILPOINT("recall_notes.written") && disk->ops->rename(disk, aside_name, file_name, error) &&
           disk->ops->sync_directory(disk, "", error) && FAILPOINT("recall_notes.after");
}

bool recall_notes_write(struct disk *disk, const struct recall_note *notes, size_t count, struct error *error) {
    size_t size = HEAD_BYTES + count * NOTE_BYTES;
    uint8_t *bytes = zeroed(size);
    for (size_t i = 0; i < count; i++) {
        uint8_t *to = bytes + HEAD_BYTES + i * NOTE_BYTES;
        memcpy(to, notes[i].bucket_uid.raw, sizeof notes[i].bucket_uid.raw);
        to[sizeof notes[i].bucket_uid.raw] = notes[i].storage_class;
    }
    put_le32(bytes, FORMAT);
    put_le32(bytes + 4, (uint32_t)count);
    put_le32(bytes + 8, crc32c(bytes_of(bytes + HEAD_BYTES, size - HEAD_BYTES)));
    bool good = write_file(disk, bytes_of(bytes, size), error);
    free(bytes);
    return good;
}
