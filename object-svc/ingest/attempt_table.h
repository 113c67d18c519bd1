/* How often this replica tried payloads in vain: only what counts as an attempt
 * (retry_policy.h), which the stream's own count of deliveries does not tell apart.
 *
 * Bounded: a payload that finds no place has used up as many attempts as it was delivered.
 * What has not been seen for ATTEMPT_STALE_US went to another replica, and gives its place up. Kept in a file, in
 * which each attempt is written in its place and not synced, so that a kill forgets none; power loss may, and then
 * payloads have some attempts more. docs/formats/attempts.md describes it. One thread. */
#ifndef WAYBILL_INGEST_ATTEMPT_TABLE_H
#define WAYBILL_INGEST_ATTEMPT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/disk.h"
#include "common/base/uuid.h"

enum { ATTEMPT_TABLE_SLOTS = 16384 };
#define ATTEMPT_STALE_US ((int64_t)3600 * 1000000)

struct attempt_table;

/* `slots`: a power of two, at least 4. The disk is borrowed; NULL, or where its file cannot be used: in memory only.
 * What is damaged there counts as never tried. */
struct attempt_table *attempt_table_open(struct disk *disk, size_t slots);
void attempt_table_close(struct attempt_table *table);

/* Counts one more attempt and returns how many there were. */
uint64_t attempt_table_add(struct attempt_table *table, const struct uuid *payload_id, uint64_t deliveries,
                           int64_t now_unix_us);
/* The payload is done with. */
void attempt_table_forget(struct attempt_table *table, const struct uuid *payload_id);

#endif
