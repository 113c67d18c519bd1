#include "object-svc/hot/volume_writer.h"

#include <assert.h>
#include <inttypes.h>

#include "common/base/failpoint.h"

enum {
    PENDING_BYTES = 256 * 1024,       /* gathered before they are written */
    RESERVE_BYTES = 16 * 1024 * 1024, /* of disk space ahead */
    DIRECT_BYTES = 16 * 1024,         /* a run this long is written as it comes: a call costs less than the copy */
    FORGET_BYTES = 1024 * 1024,       /* an object this long takes the room of many others in the page cache */
};

/* The first failure stays; the volume's end is not known any more. */
static bool fail(struct volume_writer *writer, struct error *error) {
    if (!writer->failed) {
        writer->failed = true;
        writer->failure = *error;
    }
    return false;
}

static bool check(const struct volume_writer *writer, struct error *error) {
    if (writer->failed) {
        *error = writer->failure;
    }
    return !writer->failed;
}

bool volume_writer_create(struct volume_writer *writer, struct disk *disk, const struct volume_header *header,
                          uint64_t sync_every_bytes, struct error *error) {
    char name[VOLUME_NAME_BYTES];
    uint8_t encoded[VOLUME_HEADER_BYTES];
    hot_volume_name(header->id, name);
    volume_header_encode(header, encoded);
    struct disk_file *file = disk->ops->open(disk, name, true, error);
    if (file == NULL) {
        return false;
    }
    if (!FAILPOINT("volume.create.before") || !file->ops->write(file, 0, bytes_of(encoded, sizeof encoded), error) ||
        !FAILPOINT("volume.create.after")) {
        file->ops->close(file);
        struct error ignored;
        disk->ops->unlink(disk, name, &ignored);
        return false;
    }
    volume_writer_resume(writer, disk, file, header, VOLUME_HEADER_BYTES, sync_every_bytes);
    writer->flushed_bytes = 0;
    writer->name_durable = false;
    return true;
}

void volume_writer_resume(struct volume_writer *writer, struct disk *disk, struct disk_file *file,
                          const struct volume_header *header, uint64_t end, uint64_t sync_every_bytes) {
    *writer = (struct volume_writer){.disk = disk,
                                     .file = file,
                                     .header = *header,
                                     .flushed_bytes = end,
                                     .end = end,
                                     .synced_bytes = end,
                                     .sync_every_bytes = sync_every_bytes,
                                     .name_durable = true,
                                     .pending_offset = end,
                                     .write_back = write_back_from(end),
                                     .reserved_bytes = end};
}

void volume_writer_release(struct volume_writer *writer) {
    buffer_free(&writer->pending);
    block_sums_free(&writer->sums);
}

/* Goes to the file; each run that is reserved is one for the disk, too. */
static bool write_out(struct volume_writer *writer, struct bytes data, struct error *error) {
    struct disk_file *file = writer->file;
    uint64_t end = writer->pending_offset + data.size;
    if (end > writer->reserved_bytes) {
        file->ops->reserve(file, writer->reserved_bytes, end + RESERVE_BYTES - writer->reserved_bytes);
        writer->reserved_bytes = end + RESERVE_BYTES;
    }
    if (!FAILPOINT("volume.append.before") || !file->ops->write(file, writer->pending_offset, data, error) ||
        !FAILPOINT("volume.append.after") || !write_back_advance(&writer->write_back, file, end, error)) {
        return fail(writer, error);
    }
    writer->pending_offset = end;
    return true;
}

static bool write_pending(struct volume_writer *writer, struct error *error) {
    if (writer->pending.size > 0) {
        if (!write_out(writer, buffer_bytes(&writer->pending), error)) {
            return false;
        }
        buffer_clear(&writer->pending);
    }
    return true;
}

/* Bytes in order: small runs are gathered, long ones go straight to the file. */
static bool put(struct volume_writer *writer, struct bytes data, struct error *error) {
    if (data.size < DIRECT_BYTES) {
        buffer_append_bytes(&writer->pending, data);
        return writer->pending.size < PENDING_BYTES || write_pending(writer, error);
    }
    return write_pending(writer, error) && write_out(writer, data, error);
}

bool volume_writer_begin(struct volume_writer *writer, const struct provenance *provenance, struct error *error) {
    assert(!writer->in_needle);
    if (!check(writer, error)) {
        return false;
    }
    writer->needle = (struct needle){.kind = NEEDLE_OBJECT,
                                     .salt = writer->header.salt,
                                     .offset = writer->end,
                                     .flushed_bytes = writer->flushed_bytes,
                                     .block_bytes = needle_block_bytes(provenance->size_bytes),
                                     .provenance = *provenance};
    block_sums_start(&writer->sums, provenance->size_bytes, writer->needle.block_bytes);
    writer->in_needle = true;
    writer->write_back.forgets = provenance->size_bytes >= FORGET_BYTES;
    needle_encode(&writer->needle, &writer->pending);
    return true;
}

/* Syncs the file, and its name where that was not done yet. */
static bool sync_file(struct volume_writer *writer, struct error *error) {
    bool ok = FAILPOINT("volume.flush.before") && writer->file->ops->sync(writer->file, error) &&
              (writer->name_durable || writer->disk->ops->sync_directory(writer->disk, ".", error)) &&
              FAILPOINT("volume.flush.after");
    if (!ok) {
        writer->sync_failed = true;
        return fail(writer, error);
    }
    writer->name_durable = true;
    return true;
}

/* A long stream is flushed as it goes, so that its end does not wait for all of it. */
static bool bound_dirty(struct volume_writer *writer, struct error *error) {
    if (writer->pending_offset - writer->synced_bytes < writer->sync_every_bytes) {
        return true;
    }
    if (!sync_file(writer, error)) {
        return false;
    }
    writer->synced_bytes = writer->pending_offset;
    return true;
}

bool volume_writer_append(struct volume_writer *writer, struct bytes data, struct error *error) {
    assert(writer->in_needle);
    if (!check(writer, error)) {
        return false;
    }
    if (data.size > writer->needle.provenance.size_bytes - writer->sums.size) {
        return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT",
                         "the payload has more bytes than the %" PRIu64 " announced",
                         writer->needle.provenance.size_bytes);
    }
    block_sums_add(&writer->sums, data);
    return put(writer, data, error) && bound_dirty(writer, error);
}

static bool matches(const struct volume_writer *writer, struct error *error) {
    const struct provenance *announced = &writer->needle.provenance;
    if (writer->sums.size != announced->size_bytes) {
        return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT", "the payload has %" PRIu64 " of %" PRIu64 " bytes",
                         writer->sums.size, announced->size_bytes);
    }
    if (writer->sums.whole != announced->crc32c) {
        return error_set(error, ERROR_DATA_LOSS, "PAYLOAD_CORRUPT",
                         "the payload's CRC32C is %08" PRIx32 ", announced was %08" PRIx32, writer->sums.whole,
                         announced->crc32c);
    }
    return true;
}

bool volume_writer_finish(struct volume_writer *writer, struct volume_place *place, struct error *error) {
    static const uint8_t zeros[NEEDLE_ALIGNMENT];
    assert(writer->in_needle);
    if (!check(writer, error)) {
        return false;
    }
    if (!matches(writer, error)) {
        volume_writer_abort(writer);
        return false;
    }
    uint32_t header_bytes = (uint32_t)(writer->pending_offset + writer->pending.size - writer->end - writer->sums.size);
    uint64_t unpadded = header_bytes + writer->sums.size;
    struct bytes sums = block_sums_end(&writer->sums);
    unpadded += sums.size;
    size_t padding = (size_t)(-unpadded % NEEDLE_ALIGNMENT);
    if (!put(writer, sums, error) || !put(writer, bytes_of(zeros, padding), error)) {
        return false;
    }
    *place = (struct volume_place){
        .volume = writer->header.id, .offset = writer->end, .bytes = unpadded + padding, .header_bytes = header_bytes};
    writer->end += place->bytes;
    writer->in_needle = false;
    assert(writer->end == writer->pending_offset + writer->pending.size);
    return true;
}

/* Forgets all from `end` on: what waits, and what the file already has. */
static void cut(struct volume_writer *writer, uint64_t end, bool torn) {
    struct error error;
    writer->in_needle = false;
    if (end >= writer->pending_offset && !torn) {
        writer->pending.size = (size_t)(end - writer->pending_offset);
    } else {
        buffer_clear(&writer->pending);
        writer->pending_offset = end;
        if (!writer->file->ops->truncate(writer->file, end, &error)) {
            fail(writer, &error);
        }
        writer->write_back = write_back_from(end);
        writer->reserved_bytes = end; /* what was past the end went with it */
    }
    writer->end = end;
    if (writer->synced_bytes > end) {
        writer->synced_bytes = end;
    }
}

void volume_writer_abort(struct volume_writer *writer) {
    if (writer->in_needle && !writer->failed) {
        cut(writer, writer->end, false);
    }
}

void volume_writer_rewind(struct volume_writer *writer) {
    if (writer->sync_failed) {
        return;
    }
    bool torn = writer->failed;
    writer->failed = false;
    cut(writer, writer->flushed_bytes < VOLUME_HEADER_BYTES ? VOLUME_HEADER_BYTES : writer->flushed_bytes, torn);
}

bool volume_writer_flush(struct volume_writer *writer, struct error *error) {
    assert(!writer->in_needle);
    if (!check(writer, error)) {
        return false;
    }
    if (writer->flushed_bytes == writer->end) {
        return true;
    }
    if (!write_pending(writer, error)) {
        return false;
    }
    if (!sync_file(writer, error)) {
        return false;
    }
    writer->synced_bytes = writer->end;
    writer->flushed_bytes = writer->end;
    return true;
}

bool volume_writer_seal(struct volume_writer *writer, struct error *error) {
    if (!volume_writer_flush(writer, error)) {
        return false;
    }
    if (!write_back_end(&writer->write_back, writer->file, writer->end, error)) {
        return fail(writer, error);
    }
    struct needle seal = {.kind = NEEDLE_SEAL,
                          .salt = writer->header.salt,
                          .offset = writer->end,
                          .flushed_bytes = writer->flushed_bytes,
                          .block_bytes = NEEDLE_BLOCK_BYTES};
    needle_encode(&seal, &writer->pending);
    writer->end += needle_bytes(&seal);
    if (!FAILPOINT("volume.seal.before") || !volume_writer_flush(writer, error) || !FAILPOINT("volume.seal.after")) {
        return false;
    }
    /* Gives back what was reserved; where that fails the volume is good all the same. */
    struct error ignored;
    writer->file->ops->truncate(writer->file, writer->end, &ignored);
    return true;
}
