#include "object-svc/tier/read_times.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/failpoint.h"
#include "common/checksum/crc32c.h"

/* The file: format (4), slots (4), CRC32C of the rest (4), then 4 bytes for each slot, all
 * little-endian. */
enum { FORMAT = 1, HEAD_BYTES = 12, SLOT_BYTES = 4, FILE_BYTES = HEAD_BYTES + READ_TIMES_SLOTS * SLOT_BYTES };

static const char file_name[] = "read-times";
static const char aside_name[] = "read-times.new";

struct read_times {
    struct disk *disk;
    _Atomic uint32_t seconds[READ_TIMES_SLOTS]; /* since 1970 */
};

static uint8_t *file_memory(void) {
    uint8_t *bytes = calloc(1, FILE_BYTES);
    if (bytes == NULL) {
        abort();
    }
    return bytes;
}

static void load(struct read_times *times) {
    struct error ignored = {0};
    uint8_t *bytes = file_memory();
    struct disk_file *file = times->disk->ops->open(times->disk, file_name, false, &ignored);
    int64_t got = file != NULL ? file->ops->read(file, 0, bytes, FILE_BYTES, &ignored) : -1;
    if (got == FILE_BYTES && get_le32(bytes) == FORMAT && get_le32(bytes + 4) == READ_TIMES_SLOTS &&
        get_le32(bytes + 8) == crc32c(bytes_of(bytes + HEAD_BYTES, FILE_BYTES - HEAD_BYTES))) {
        for (size_t i = 0; i < READ_TIMES_SLOTS; i++) {
            atomic_init(&times->seconds[i], get_le32(bytes + HEAD_BYTES + i * SLOT_BYTES));
        }
    }
    if (file != NULL) {
        file->ops->close(file);
    }
    free(bytes);
}

struct read_times *read_times_open(struct disk *disk) {
    struct read_times *times = calloc(1, sizeof *times);
    if (times == NULL) {
        abort();
    }
    times->disk = disk;
    load(times);
    return times;
}

void read_times_free(struct read_times *times) {
    free(times);
}

/* Payload ids are random. */
static size_t slot_of(const struct uuid *payload_id) {
    return get_le32(payload_id->raw + 12) % READ_TIMES_SLOTS;
}

void read_times_note(struct read_times *times, const struct uuid *payload_id, int64_t now_unix_us) {
    atomic_store_explicit(&times->seconds[slot_of(payload_id)], (uint32_t)(now_unix_us / 1000000),
                          memory_order_relaxed);
}

int64_t read_times_get(const struct read_times *times, const struct uuid *payload_id) {
    return (int64_t)atomic_load_explicit(&times->seconds[slot_of(payload_id)], memory_order_relaxed) * 1000000;
}

static bool write_file(const struct read_times *times, struct bytes bytes, struct error *error) {
    struct disk *disk = times->disk;
    struct disk_file *file = disk->ops->open(disk, aside_name, true, error);
    bool good = file != NULL && FAILPOINT("read_times.write.before") && file->ops->write(file, 0, bytes, error);
    if (file != NULL) {
        file->ops->close(file);
    }
    return good && FAILPOINT("read_times.rename.before") && disk->ops->rename(disk, aside_name, file_name, error) &&
           FAILPOINT("read_times.rename.after");
}

bool read_times_save(const struct read_times *times, struct error *error) {
    uint8_t *bytes = file_memory();
    for (size_t i = 0; i < READ_TIMES_SLOTS; i++) {
        put_le32(bytes + HEAD_BYTES + i * SLOT_BYTES, atomic_load_explicit(&times->seconds[i], memory_order_relaxed));
    }
    put_le32(bytes, FORMAT);
    put_le32(bytes + 4, READ_TIMES_SLOTS);
    put_le32(bytes + 8, crc32c(bytes_of(bytes + HEAD_BYTES, FILE_BYTES - HEAD_BYTES)));
    bool good = write_file(times, bytes_of(bytes, FILE_BYTES), error);
    free(bytes);
    return good;
}
