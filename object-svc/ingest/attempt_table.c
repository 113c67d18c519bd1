/* A cache of sets: an id can lie in one of WAYS neighbouring slots, where its hash says. The file has the slots in
 * the same order: CRC32C of what follows (4), format (1), zeros (3), attempts (4), when it was seen last (4; seconds
 * since 1970), payload id (16), little-endian; one that is free is all zero. */
#include "object-svc/ingest/attempt_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/checksum/crc32c.h"

enum { WAYS = 4, FORMAT = 1, SLOT_BYTES = 32, AT_FORMAT = 4, AT_ATTEMPTS = 8, AT_SEEN = 12, AT_ID = 16 };

static const char file_name[] = "attempts";

struct slot {
    struct uuid id;
    uint64_t attempts; /* 0: free */
    int64_t seen_us;
};

struct attempt_table {
    struct disk_file *file; /* NULL: in memory only */
    size_t sets;
    struct slot slots[];
};

/* The last bytes of a payload id are random. */
static struct slot *set_of(struct attempt_table *table, const struct uuid *id) {
    return &table->slots[(get_le32(id->raw + 12) & (table->sets - 1)) * WAYS];
}

/* ---- the file ---- */

static void give_file_up(struct attempt_table *table, const struct error *error) {
    log_warn("attempts_not_kept", LOG_ERROR(error), LOG_STR("hint", "after a restart payloads have more attempts"));
    if (table->file != NULL) {
        table->file->ops->close(table->file);
        table->file = NULL;
    }
}

static void write_slot(struct attempt_table *table, const struct slot *slot) {
    uint8_t bytes[SLOT_BYTES] = {0};
    struct error error = {0};
    if (table->file == NULL) {
        return;
    }
    if (slot->attempts > 0) {
        bytes[AT_FORMAT] = FORMAT;
        put_le32(bytes + AT_ATTEMPTS, slot->attempts < UINT32_MAX ? (uint32_t)slot->attempts : UINT32_MAX);
        put_le32(bytes + AT_SEEN, (uint32_t)(slot->seen_us / 1000000));
        memcpy(bytes + AT_ID, slot->id.raw, sizeof slot->id.raw);
        put_le32(bytes, crc32c(bytes_of(bytes + AT_FORMAT, SLOT_BYTES - AT_FORMAT)));
    }
    uint64_t at = (uint64_t)(slot - table->slots) * SLOT_BYTES;
    if (!table->file->ops->write(table->file, at, bytes_of(bytes, sizeof bytes), &error)) {
        give_file_up(table, &error);
    }
}

static void take_slot(struct attempt_table *table, size_t number, const uint8_t *bytes) {
    struct slot slot = {.attempts = get_le32(bytes + AT_ATTEMPTS),
                        .seen_us = (int64_t)get_le32(bytes + AT_SEEN) * 1000000};
    memcpy(slot.id.raw, bytes + AT_ID, sizeof slot.id.raw);
    const struct slot *set = set_of(table, &slot.id);
    bool in_place = &table->slots[number] >= set && &table->slots[number] < set + WAYS;
    if (bytes[AT_FORMAT] == FORMAT && in_place &&
        get_le32(bytes) == crc32c(bytes_of(bytes + AT_FORMAT, SLOT_BYTES - AT_FORMAT))) {
        table->slots[number] = slot;
    }
}

static void load(struct attempt_table *table, struct disk *disk) {
    struct error error = {0};
    size_t size = table->sets * WAYS * SLOT_BYTES;
    table->file = disk->ops->open(disk, file_name, true, &error);
    if (table->file == NULL) {
        give_file_up(table, &error);
        return;
    }
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        abort();
    }
    int64_t got = table->file->ops->read(table->file, 0, bytes, size, &error);
    for (int64_t at = 0; at + SLOT_BYTES <= got; at += SLOT_BYTES) {
        take_slot(table, (size_t)at / SLOT_BYTES, bytes + at);
    }
    free(bytes);
    if (got < 0) {
        give_file_up(table, &error);
    }
}

struct attempt_table *attempt_table_open(struct disk *disk, size_t slots) {
    assert(slots >= WAYS && (slots & (slots - 1)) == 0);
    struct attempt_table *table = calloc(1, sizeof *table + slots * sizeof table->slots[0]);
    if (table == NULL) {
        abort();
    }
    table->sets = slots / WAYS;
    if (disk != NULL) {
        load(table, disk);
    }
    return table;
}

void attempt_table_close(struct attempt_table *table) {
    if (table->file != NULL) {
        table->file->ops->close(table->file);
    }
    free(table);
}

/* ---- counting ---- */

static struct slot *find(struct attempt_table *table, const struct uuid *id) {
    struct slot *set = set_of(table, id);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].attempts > 0 && uuid_equal(&set[i].id, id)) {
            return &set[i];
        }
    }
    return NULL;
}

/* Also one that was seen in a future that the clock took back. */
static bool is_stale(const struct slot *slot, int64_t now_us) {
    return now_us - slot->seen_us > ATTEMPT_STALE_US || slot->seen_us - now_us > ATTEMPT_STALE_US;
}

static struct slot *take_place(struct attempt_table *table, const struct uuid *id, int64_t now_us) {
    struct slot *set = set_of(table, id);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].attempts == 0 || is_stale(&set[i], now_us)) {
            set[i] = (struct slot){.id = *id};
            return &set[i];
        }
    }
    return NULL;
}

uint64_t attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                           int64_t now_unix_us) {
    struct slot *slot = find(table, payload_id);
    if (slot == NULL) {
        slot = take_place(table, payload_id, now_unix_us);
    }
    if (slot == NULL) {
        return deliveries;
    }
    slot->seen_us = now_unix_us;
    slot->attempts++;
    write_slot(table, slot);
    return slot->attempts;
}

void attempt_table_forget(struct attempt_table *table, const struct uuid *payload_id) {
    struct slot *slot = find(table, payload_id);
    if (slot != NULL) {
        slot->attempts = 0;
        write_slot(table, slot);
    }
}
