/* LevelDB's tables begin their way to the disk while they are written.
 *
 * LevelDB writes a table of many MiB to memory and flushes it at its end; every flush of a commit that
 * falls into that time waits behind all of it, which is where the slowest commits beside merges come
 * from. A thread of its own notices by inotify that a table is begun, looks every millisecond at how far
 * it has grown, and has the system write what is there, step by step (common/base/write_back.h). LevelDB
 * knows nothing of it, and is still the one who flushes. */
#ifndef WAYBILL_STORE_TABLE_WRITE_BACK_H
#define WAYBILL_STORE_TABLE_WRITE_BACK_H

#include <stdint.h>

struct table_write_back;

/* Of the store that will be opened in that directory, which is made where it is missing. NULL where the
 * system does not let it: the store works without. */
struct table_write_back *table_write_back_start(const char *directory);
void table_write_back_stop(struct table_write_back *tables);

/* The bytes that it has had written so far; for tests. */
uint64_t table_write_back_bytes(struct table_write_back *tables);

#endif
