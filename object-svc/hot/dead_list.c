#include "object-svc/hot/dead_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/failpoint.h"
#include "common/checksum/crc32c.h"

static const uint8_t mark_magic[3] = "WBD";

enum {
    FORMAT_VERSION = 1,
    AT_VERSION = 3,
    AT_CRC = 4,
    AT_OFFSET = 8,
    AT_PAYLOAD_ID = 16,
    READ_MARKS = 2048, /* at once */
};

void dead_list_name(uint64_t volume, char name[VOLUME_NAME_BYTES]) {
    snprintf(name, VOLUME_NAME_BYTES, "volume-%016" PRIx64 ".dead", volume);
}

bool dead_list_parse_name(const char *name, uint64_t *volume) {
    char again[VOLUME_NAME_BYTES];
    if (sscanf(name, "volume-%16" SCNx64 ".dead", volume) != 1) {
        return false;
    }
    dead_list_name(*volume, again);
    return strcmp(name, again) == 0;
}

static uint32_t mark_crc(uint64_t salt, const uint8_t mark[DEAD_MARK_BYTES]) {
    uint8_t salted[8];
    put_le64(salted, salt);
    uint32_t crc = crc32c(bytes_of(salted, sizeof salted));
    crc = crc32c_extend(crc, bytes_of(mark, AT_CRC));
    return crc32c_extend(crc, bytes_of(mark + AT_OFFSET, DEAD_MARK_BYTES - AT_OFFSET));
}

void dead_mark_encode(uint64_t salt, const struct dead_mark *mark, struct buffer *out) {
    uint8_t encoded[DEAD_MARK_BYTES];
    memcpy(encoded, mark_magic, sizeof mark_magic);
    encoded[AT_VERSION] = FORMAT_VERSION;
    put_le64(encoded + AT_OFFSET, mark->offset);
    memcpy(encoded + AT_PAYLOAD_ID, mark->payload_id.raw, sizeof mark->payload_id.raw);
    put_le32(encoded + AT_CRC, mark_crc(salt, encoded));
    buffer_append(out, encoded, sizeof encoded);
}

bool dead_mark_decode(uint64_t salt, const uint8_t in[DEAD_MARK_BYTES], struct dead_mark *mark) {
    if (memcmp(in, mark_magic, sizeof mark_magic) != 0 || in[AT_VERSION] != FORMAT_VERSION ||
        get_le32(in + AT_CRC) != mark_crc(salt, in)) {
        return false;
    }
    mark->offset = get_le64(in + AT_OFFSET);
    memcpy(mark->payload_id.raw, in + AT_PAYLOAD_ID, sizeof mark->payload_id.raw);
    return true;
}

static int compare_marks(const void *a, const void *b) {
    uint64_t left = ((const struct dead_mark *)a)->offset;
    uint64_t right = ((const struct dead_mark *)b)->offset;
    return left < right ? -1 : left > right;
}

static bool read_marks(struct disk_file *file, uint64_t salt, uint64_t from, struct dead_list *list,
                       struct error *error) {
    uint8_t chunk[READ_MARKS * DEAD_MARK_BYTES];
    for (uint64_t at = from; at < list->end;) {
        size_t size = list->end - at < sizeof chunk ? (size_t)(list->end - at) : sizeof chunk;
        int64_t got = file->ops->read(file, at, chunk, size, error);
        if (got < 0) {
            return false;
        }
        if ((size_t)got < size) {
            return error_set(error, ERROR_INTERNAL, "IO_ERROR",
                             "a hot volume's dead list got shorter while it was read");
        }
        for (size_t i = 0; i < size; i += DEAD_MARK_BYTES) {
            bool good = dead_mark_decode(salt, chunk + i, &list->marks[list->count]);
            list->count += good ? 1 : 0;
            list->damaged += good ? 0 : 1;
        }
        at += size;
    }
    if (list->count > 0) {
        qsort(list->marks, list->count, sizeof *list->marks, compare_marks);
    }
    return true;
}

bool dead_list_read(struct disk *disk, uint64_t volume, uint64_t salt, uint64_t from, struct dead_list *list,
                    struct error *error) {
    char name[VOLUME_NAME_BYTES];
    uint64_t size = 0;
    *list = (struct dead_list){0};
    dead_list_name(volume, name);
    struct disk_file *file = disk->ops->open(disk, name, false, error);
    if (file == NULL) {
        return false;
    }
    bool ok = file->ops->size(file, &size, error);
    list->end = size / DEAD_MARK_BYTES * DEAD_MARK_BYTES;
    if (ok && from < list->end) {
        list->marks = malloc((list->end - from) / DEAD_MARK_BYTES * sizeof *list->marks);
        if (list->marks == NULL) {
            abort();
        }
        ok = read_marks(file, salt, from, list, error);
    }
    file->ops->close(file);
    if (!ok) {
        dead_list_free(list);
    }
    return ok;
}

bool dead_list_has(const struct dead_list *list, uint64_t offset, const struct uuid *payload_id) {
    size_t low = 0;
    for (size_t high = list->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (list->marks[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < list->count && list->marks[low].offset == offset; low++) {
        if (uuid_equal(&list->marks[low].payload_id, payload_id)) {
            return true;
        }
    }
    return false;
}

void dead_list_free(struct dead_list *list) {
    free(list->marks);
    *list = (struct dead_list){0};
}

static struct disk_file *open_list(struct disk *disk, uint64_t volume, struct error *error) {
    char name[VOLUME_NAME_BYTES];
    dead_list_name(volume, name);
    return disk->ops->open(disk, name, true, error);
}

bool dead_list_write(struct disk *disk, uint64_t volume, uint64_t at, struct bytes marks, struct error *error) {
    struct disk_file *file = open_list(disk, volume, error);
    bool ok = file != NULL && file->ops->write(file, at, marks, error);
    if (file != NULL) {
        file->ops->close(file);
    }
    return ok;
}

bool dead_list_sync(struct disk *disk, uint64_t volume, struct error *error) {
    struct disk_file *file = open_list(disk, volume, error);
    bool ok = file != NULL && FAILPOINT("dead_list.flush.before") && file->ops->sync(file, error) &&
              FAILPOINT("dead_list.flush.after");
    if (file != NULL) {
        file->ops->close(file);
    }
    return ok;
}

bool dead_list_cut(struct disk *disk, uint64_t volume, uint64_t end, struct error *error) {
    struct disk_file *file = open_list(disk, volume, error);
    bool ok = file != NULL && file->ops->truncate(file, end, error) && file->ops->sync(file, error);
    if (file != NULL) {
        file->ops->close(file);
    }
    return ok;
}
