/* Reading an object: the sidecar says what it is and what its blocks' checksums are; its bytes
 * are read by ranges of whole blocks, ahead of who reads them in order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/checksum/crc32c.h"
#include "object-svc/cold/cold_s3_parts.h"

enum {
    VERIFY_BYTES = 4 * 1024 * 1024,
    READ_ATTEMPTS = 2, /* of what does not match its checksum: it may have been damaged on its way only */
};

struct s3_reader {
    struct cold_reader base;
    struct cold_s3 *store;
    struct arena arena;
    struct cold_sidecar sidecar;
    char key[COLD_S3_KEY_BYTES];
    struct s3_ahead_reader *ahead;
    struct block_reader blocks;
};

static struct s3_reader *self_of(struct cold_reader *reader) {
    return (struct s3_reader *)reader;
}

/* Only bytes make an object. */
static bool read_length(struct cold_s3 *self, const char *key, const struct cold_name *name, uint64_t *length,
                        struct error *error) {
    struct s3_request request = {.method = "HEAD", .key = key, .query = ""};
    struct s3_answer answer;
    bool ok = s3_client_do(self->client, &request, &answer, error) &&
              (answer.status != 404 || cold_object_not_found(error, name));
    *length = answer.content_length;
    s3_answer_free(&answer);
    return ok;
}

static bool decode(const struct s3_answer *answer, const struct cold_name *name, uint64_t length, struct arena *arena,
                   struct cold_sidecar *sidecar, struct error *error) {
    if (answer->status == 404) {
        return cold_object_corrupt(error, name, "an object without its sidecar");
    }
    if (!cold_sidecar_decode(buffer_bytes(&answer->body), arena, sidecar)) {
        return cold_object_corrupt(error, name, "a damaged sidecar");
    }
    const struct provenance *found = &sidecar->provenance;
    if (strcmp(found->bucket, name->bucket) != 0 || strcmp(found->key, name->key) != 0 ||
        found->version != name->version) {
        return cold_object_corrupt(error, name, "the sidecar of another object");
    }
    return found->size_bytes == length || cold_object_corrupt(error, name, "an object of the wrong length");
}

static bool load_once(struct cold_s3 *self, const struct cold_name *name, const char *key, const char *sidecar_key,
                      struct arena *arena, struct cold_sidecar *sidecar, struct error *error) {
    struct s3_answer answer;
    uint64_t length;
    struct s3_request request = {.method = "GET", .key = sidecar_key, .query = ""};
    bool ok = s3_client_do(self->client, &request, &answer, error) && read_length(self, key, name, &length, error) &&
              decode(&answer, name, length, arena, sidecar, error);
    s3_answer_free(&answer);
    return ok;
}

bool cold_s3_load_sidecar(struct cold_s3 *self, const struct cold_name *name, struct arena *arena,
                          struct cold_sidecar *sidecar, struct error *error) {
    char key[COLD_S3_KEY_BYTES];
    char sidecar_key[COLD_S3_KEY_BYTES];
    if (!cold_s3_keys(self, name, key, sidecar_key, error)) {
        return false;
    }
    for (int attempt = 1;; attempt++) {
        struct error found = {0};
        if (load_once(self, name, key, sidecar_key, arena, sidecar, &found)) {
            return true;
        }
        if (found.code != ERROR_DATA_LOSS || attempt == READ_ATTEMPTS) {
            *error = found;
            return false;
        }
    }
}

static bool object_damaged(void *context, uint64_t offset, struct error *error) {
    struct s3_reader *self = context;
    struct cold_name name = cold_object_name(&self->sidecar.provenance);
    char how[64];
    snprintf(how, sizeof how, "damaged bytes at %" PRIu64, offset);
    return cold_object_corrupt(error, &name, how);
}

static bool read_sums(void *context, uint64_t first, void *out, size_t count, struct error *error) {
    (void)error;
    struct s3_reader *self = context;
    memcpy(out, self->sidecar.block_sums.data + first * sizeof(uint32_t), count * sizeof(uint32_t));
    return true;
}

/* Whether whole blocks from `offset` on have their checksums. The block reader will say so itself;
 * here it is asked so that they can be read once more. */
static bool blocks_match(const struct s3_reader *self, uint64_t offset, const uint8_t *data, size_t size) {
    const struct cold_sidecar *sidecar = &self->sidecar;
    if (sidecar->block_sums.size == 0) {
        return size != sidecar->provenance.size_bytes || crc32c(bytes_of(data, size)) == sidecar->provenance.crc32c;
    }
    const uint8_t *sum = sidecar->block_sums.data + offset / sidecar->block_bytes * sizeof(uint32_t);
    for (size_t done = 0; done < size; sum += sizeof(uint32_t)) {
        size_t now = size - done < sidecar->block_bytes ? size - done : sidecar->block_bytes;
        if (crc32c(bytes_of(data + done, now)) != get_le32(sum)) {
            return false;
        }
        done += now;
    }
    return true;
}

/* What was damaged on its way was so with what came with it: that is not read ahead of any more. */
static bool read_bytes(void *context, uint64_t offset, void *out, size_t size, struct error *error) {
    struct s3_reader *self = context;
    bool ok = true;
    for (int attempt = 1; ok && size > 0 && attempt <= READ_ATTEMPTS; attempt++) {
        bool absent;
        ok = s3_ahead_read(self->ahead, offset, out, size, &absent, error);
        if (absent) {
            struct cold_name name = cold_object_name(&self->sidecar.provenance);
            cold_object_not_found(error, &name);
        }
        if (ok && blocks_match(self, offset, out, size)) {
            break;
        }
    }
    return ok;
}

struct cold_reader *cold_s3_open_object(struct cold_store *base, const struct cold_name *name, struct error *error) {
    struct cold_s3 *store = cold_s3_of(base);
    struct s3_reader *self = calloc(1, sizeof *self);
    char sidecar_key[COLD_S3_KEY_BYTES];
    if (self == NULL) {
        abort();
    }
    self->base.ops = base->ops;
    self->store = store;
    arena_init(&self->arena);
    if (!cold_s3_keys(store, name, self->key, sidecar_key, error) ||
        !cold_s3_load_sidecar(store, name, &self->arena, &self->sidecar, error)) {
        cold_s3_close_reader(&self->base);
        return NULL;
    }
    self->ahead = s3_ahead_reader_new(store->ahead, self->key, self->sidecar.provenance.size_bytes);
    struct block_source source = {.read = read_bytes, .sums = read_sums, .corrupt = object_damaged, .context = self};
    block_reader_start(&self->blocks, &source, self->sidecar.provenance.size_bytes, self->sidecar.provenance.crc32c,
                       self->sidecar.block_bytes);
    return &self->base;
}

const struct provenance *cold_s3_reader_provenance(const struct cold_reader *reader) {
    return &((const struct s3_reader *)reader)->sidecar.provenance;
}

int64_t cold_s3_read(struct cold_reader *reader, uint64_t offset, void *out, size_t size, struct error *error) {
    return block_reader_read(&self_of(reader)->blocks, offset, out, size, error);
}

void cold_s3_close_reader(struct cold_reader *reader) {
    struct s3_reader *self = self_of(reader);
    block_reader_stop(&self->blocks);
    s3_ahead_reader_free(self->ahead);
    arena_free(&self->arena);
    free(self);
}

static bool read_back(struct s3_reader *self, struct error *error) {
    uint64_t size = self->sidecar.provenance.size_bytes;
    size_t step = size < VERIFY_BYTES ? (size_t)size + 1 : VERIFY_BYTES;
    uint8_t *chunk = malloc(step);
    if (chunk == NULL) {
        abort();
    }
    uint64_t offset = 0;
    uint32_t crc = 0;
    int64_t got;
    while ((got = block_reader_read(&self->blocks, offset, chunk, step, error)) > 0) {
        crc = crc32c_extend(crc, bytes_of(chunk, (size_t)got));
        offset += (uint64_t)got;
    }
    free(chunk);
    if (got < 0) {
        return false;
    }
    struct cold_name name = cold_object_name(&self->sidecar.provenance);
    return crc == self->sidecar.provenance.crc32c || cold_object_corrupt(error, &name, "a wrong CRC32C");
}

bool cold_s3_verify(struct cold_store *store, const struct provenance *expected, struct error *error) {
    struct cold_name name = cold_object_name(expected);
    struct cold_reader *reader = cold_s3_open_object(store, &name, error);
    if (reader == NULL) {
        return false;
    }
    const struct provenance *found = cold_s3_reader_provenance(reader);
    bool same = uuid_equal(&found->payload_id, &expected->payload_id) && found->size_bytes == expected->size_bytes &&
                found->crc32c == expected->crc32c;
    bool ok = (same || cold_object_corrupt(error, &name, "another payload than expected")) &&
              read_back(self_of(reader), error);
    cold_s3_close_reader(reader);
    return ok;
}
