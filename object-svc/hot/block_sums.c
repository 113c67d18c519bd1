#include "object-svc/hot/block_sums.h"

#include <assert.h>
#include <stdlib.h>

#include "common/checksum/crc32c.h"

enum {
    SUM_BYTES = 4,
    RUN_MAX_BLOCKS = 64, /* blocks read with one call */
    RUN_MAX_BYTES = 4 * 1024 * 1024,
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t block_sums_count(uint64_t size_bytes, uint32_t block_bytes) {
    return size_bytes <= block_bytes ? 0 : (size_bytes - 1) / block_bytes + 1;
}

void block_sums_start(struct block_sums *sums, uint64_t size_bytes, uint32_t block_bytes) {
    sums->block_bytes = block_bytes;
    sums->per_block = block_sums_count(size_bytes, block_bytes) > 0;
    sums->whole = 0;
    sums->size = 0;
    sums->block = 0;
    buffer_clear(&sums->done);
}

/* Block by block, and the whole right after each, while its bytes are in the cache. */
void block_sums_add(struct block_sums *sums, struct bytes data) {
    if (!sums->per_block) {
        sums->whole = crc32c_extend(sums->whole, data);
        sums->size += data.size;
        return;
    }
    while (data.size > 0) {
        uint64_t room = sums->block_bytes - sums->size % sums->block_bytes;
        struct bytes part = {data.data, (size_t)smaller(room, data.size)};
        sums->block = crc32c_extend(sums->block, part);
        sums->whole = crc32c_extend(sums->whole, part);
        sums->size += part.size;
        if (part.size == room) {
            buffer_append_le32(&sums->done, sums->block);
            sums->block = 0;
        }
        data = bytes_of(data.data + part.size, data.size - part.size);
    }
}

struct bytes block_sums_end(struct block_sums *sums) {
    if (sums->per_block && sums->size % sums->block_bytes != 0) {
        buffer_append_le32(&sums->done, sums->block);
        sums->block = 0;
    }
    return buffer_bytes(&sums->done);
}

void block_sums_free(struct block_sums *sums) {
    buffer_free(&sums->done);
}

void block_reader_start(struct block_reader *reader, const struct block_source *source, uint64_t size_bytes,
                        uint32_t whole_crc32c, uint32_t block_bytes) {
    assert(block_bytes > 0);
    *reader = (struct block_reader){.source = *source,
                                    .size_bytes = size_bytes,
                                    .whole_crc32c = whole_crc32c,
                                    .block_bytes = block_bytes,
                                    .block_offset = UINT64_MAX};
}

void block_reader_stop(struct block_reader *reader) {
    free(reader->block);
    reader->block = NULL;
}

/* Checks `size` bytes that begin at the block boundary `offset`. */
static bool check_blocks(struct block_reader *reader, uint64_t offset, const uint8_t *data, size_t size,
                         struct error *error) {
    uint8_t stored[RUN_MAX_BLOCKS * SUM_BYTES];
    size_t count = (size_t)((size + reader->block_bytes - 1) / reader->block_bytes);
    assert(count <= RUN_MAX_BLOCKS);
    if (block_sums_count(reader->size_bytes, reader->block_bytes) == 0) {
        put_le32(stored, reader->whole_crc32c);
    } else if (!reader->source.sums(reader->source.context, offset / reader->block_bytes, stored, count, error)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t begin = i * reader->block_bytes;
        size_t length = (size_t)smaller(reader->block_bytes, size - begin);
        if (crc32c(bytes_of(data + begin, length)) != get_le32(stored + i * SUM_BYTES)) {
            return reader->source.corrupt(reader->source.context, offset + begin, error);
        }
    }
    return true;
}

/* Reads whole blocks straight to where the caller wants them; returns how many bytes, 0 where
 * no whole block fits, -1 on failure. */
static int64_t read_whole_blocks(struct block_reader *reader, uint64_t offset, uint8_t *out, uint64_t size,
                                 struct error *error) {
    if (offset % reader->block_bytes != 0) {
        return 0;
    }
    uint64_t run = smaller(size, RUN_MAX_BYTES);
    run = smaller(run, (uint64_t)RUN_MAX_BLOCKS * reader->block_bytes);
    if (offset + run < reader->size_bytes) {
        run -= run % reader->block_bytes;
    }
    if (run == 0) {
        return 0;
    }
    if (!reader->source.read(reader->source.context, offset, out, (size_t)run, error) ||
        !check_blocks(reader, offset, out, (size_t)run, error)) {
        return -1;
    }
    return (int64_t)run;
}

/* Has the block that holds `offset` in memory, verified. */
static bool load_block(struct block_reader *reader, uint64_t offset, struct error *error) {
    uint64_t begin = offset - offset % reader->block_bytes;
    if (reader->block_offset == begin) {
        return true;
    }
    if (reader->block == NULL) {
        reader->block = malloc((size_t)smaller(reader->block_bytes, reader->size_bytes));
        if (reader->block == NULL) {
            abort();
        }
    }
    size_t length = (size_t)smaller(reader->block_bytes, reader->size_bytes - begin);
    reader->block_offset = UINT64_MAX;
    if (!reader->source.read(reader->source.context, begin, reader->block, length, error) ||
        !check_blocks(reader, begin, reader->block, length, error)) {
        return false;
    }
    reader->block_offset = begin;
    return true;
}

int64_t block_reader_read(struct block_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    if (offset >= reader->size_bytes) {
        return 0;
    }
    uint64_t wanted = smaller(smaller(size, reader->size_bytes - offset), INT64_MAX);
    uint8_t *next = out;
    for (uint64_t done = 0; done < wanted;) {
        int64_t whole = read_whole_blocks(reader, offset + done, next + done, wanted - done, error);
        if (whole < 0) {
            return -1;
        }
        if (whole == 0) {
            if (!load_block(reader, offset + done, error)) {
                return -1;
            }
            uint64_t skip = offset + done - reader->block_offset;
            uint64_t length = smaller(reader->block_bytes, reader->size_bytes - reader->block_offset);
            whole = (int64_t)smaller(length - skip, wanted - done);
            memcpy(next + done, reader->block + skip, (size_t)whole);
        }
        done += (uint64_t)whole;
    }
    return (int64_t)wanted;
}
