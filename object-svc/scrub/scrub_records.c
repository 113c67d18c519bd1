/* From the records to the objects: whatever a record says is in a tier is read there. */
#include <stdlib.h>
#include <string.h>

#include "common/checksum/crc32c.h"
#include "object-svc/scrub/scrub_parts.h"

enum { STEP_BYTES = 1024 * 1024 };

/* One copy as its record describes it. */
struct expected_copy {
    enum object_tier tier;
    struct object_name name;
    uint64_t size_bytes;
    uint32_t crc32c;
};

static bool expect(enum object_tier tier, const Waybill__V1__Record *record, struct expected_copy *copy,
                   struct error *error) {
    *copy = (struct expected_copy){
        .tier = tier,
        .name = {.bucket = record->bucket, .key = record->key, .version = record->payload_version},
        .size_bytes = (uint64_t)record->size,
        .crc32c = record->crc32c,
    };
    return uuid_parse_text(record->payload_id, &copy->name.payload_id) ||
           error_set(error, ERROR_INTERNAL, "BAD_ANSWER", "metadata-svc listed an object without a payload id");
}

/* ---- reading a copy ---- */

struct open_copy {
    struct hot_reader *hot;
    struct cold_reader *cold;
};

static const struct provenance *open_expected(struct scrub *scrub, const struct expected_copy *copy,
                                              struct open_copy *open, struct error *error) {
    if (copy->tier == OBJECT_TIER_HOT) {
        open->hot = hot_store_open_object(scrub_hot(scrub), &copy->name.payload_id, error);
        return open->hot != NULL ? hot_reader_provenance(open->hot) : NULL;
    }
    struct cold_name name = {copy->name.bucket, copy->name.key, copy->name.version};
    open->cold = cold_store_open_object(scrub_cold(scrub), &name, error);
    return open->cold != NULL ? cold_reader_provenance(open->cold) : NULL;
}

static bool check_provenance(const struct expected_copy *copy, const struct provenance *found, struct error *error) {
    return (uuid_equal(&found->payload_id, &copy->name.payload_id) && found->size_bytes == copy->size_bytes &&
            found->crc32c == copy->crc32c && strcmp(found->bucket, copy->name.bucket) == 0 &&
            strcmp(found->key, copy->name.key) == 0) ||
           error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy is another object than the record describes");
}

static bool read_whole(struct scrub *scrub, const struct expected_copy *copy, const struct open_copy *open,
                       uint8_t *step, struct error *error) {
    uint32_t crc = 0;
    for (uint64_t offset = 0; offset < copy->size_bytes;) {
        int64_t got = open->hot != NULL ? hot_reader_read(open->hot, offset, step, STEP_BYTES, error)
                                        : cold_reader_read(open->cold, offset, step, STEP_BYTES, error);
        if (got == 0) {
            error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the copy ends early");
        }
        if (got <= 0) {
            return false;
        }
        crc = crc32c_extend(crc, bytes_of(step, (size_t)got));
        offset += (uint64_t)got;
        scrub_result_progress(scrub->result, 0, (uint64_t)got);
        if (!scrub_go_on(scrub, (uint64_t)got, error)) {
            return false;
        }
    }
    return crc == copy->crc32c ||
           error_set(error, ERROR_DATA_LOSS, "OBJECT_CORRUPT", "the CRC32C is %08x, not %08x", crc, copy->crc32c);
}

static bool read_copy(struct scrub *scrub, const struct expected_copy *copy, uint8_t *step, struct error *error) {
    struct open_copy open = {0};
    const struct provenance *found = open_expected(scrub, copy, &open, error);
    bool good = found != NULL && check_provenance(copy, found, error) && read_whole(scrub, copy, &open, step, error);
    if (open.hot != NULL) {
        hot_reader_close(open.hot);
    }
    if (open.cold != NULL) {
        cold_reader_close(open.cold);
    }
    return good;
}

/* ---- judging ---- */

/* Whether the record still says that the copy is there. */
static bool is_still_expected(struct scrub *scrub, const struct expected_copy *copy, bool *expected,
                              struct error *error) {
    struct arena arena;
    struct object_check check;
    arena_init(&arena);
    const struct object_catalog *catalog = &scrub->ports->repair.catalog;
    bool good = catalog->check(catalog->self, copy->tier, &copy->name, 1, &arena, &check, error);
    *expected = good && check.standing == OBJECT_EXPECTED;
    arena_free(&arena);
    return good;
}

static bool judge(struct scrub *scrub, const struct expected_copy *copy, const struct error *cause,
                  struct error *error) {
    bool expected;
    if (!is_still_expected(scrub, copy, &expected, error)) {
        return false;
    }
    if (expected) {
        enum scrub_kind kind = cause->code == ERROR_NOT_FOUND ? SCRUB_MISSING : SCRUB_CORRUPT;
        struct scrub_finding finding = scrub_finding_of(kind, copy->tier, &copy->name);
        memcpy(finding.message, cause->message, sizeof finding.message);
        scrub_settle(scrub, &finding);
    }
    return true;
}

static bool check_record(struct scrub *scrub, enum object_tier tier, const Waybill__V1__Record *record, uint8_t *step,
                         struct error *error) {
    struct expected_copy copy;
    struct error cause = {0};
    if (!expect(tier, record, &copy, error)) {
        return false;
    }
    if (!read_copy(scrub, &copy, step, &cause)) {
        if (!scrub_is_damage(&cause)) {
            *error = cause;
            return false;
        }
        if (!judge(scrub, &copy, &cause, error)) {
            return false;
        }
    }
    scrub_result_progress(scrub->result, 1, 0);
    return true;
}

bool scrub_records(struct scrub *scrub, enum object_tier tier, struct error *error) {
    const struct object_catalog *catalog = &scrub->ports->repair.catalog;
    uint8_t *step = malloc(STEP_BYTES);
    char *token = strdup("");
    bool good = true;
    bool more = true;
    if (step == NULL || token == NULL) {
        abort();
    }
    while (good && more) {
        struct arena arena;
        Waybill__V1__Record **records;
        size_t count = 0;
        const char *next = token;
        arena_init(&arena);
        good = catalog->list(catalog->self, tier, scrub->options->bucket, &arena, &next, &records, &count, error);
        for (size_t i = 0; good && i < count; i++) {
            good = check_record(scrub, tier, records[i], step, error) && scrub_go_on(scrub, 0, error);
        }
        if (good) {
            free(token);
            token = strdup(next);
            if (token == NULL) {
                abort();
            }
            more = token[0] != '\0';
        }
        arena_free(&arena);
    }
    free(token);
    free(step);
    return good;
}
