/* A disk in memory that fails as real ones do, from a seed: power that goes at any operation,
 * unsynced sectors that are dropped or kept at random, failed writes that are half there, syncs
 * that fail and after which the data is gone although the next sync succeeds.
 *
 * Operations are counted: every call that changes something (create, write, sync, allocate,
 * truncate, make_directory, sync_directory, rename, unlink). Any thread. All files must be
 * closed before the disk is freed; files that were open when the power went may still be closed. */
#ifndef WAYBILL_TESTS_FAULTY_DISK_H
#define WAYBILL_TESTS_FAULTY_DISK_H

#include "common/base/disk.h"

enum { FAULTY_SECTOR_BYTES = 512 };

/* What becomes of writes that no sync covered. A sector is whole or as before. */
enum faulty_unsynced {
    FAULTY_DROP, /* none of them came to the disk */
    FAULTY_KEEP, /* all did: only the process died */
    FAULTY_TEAR, /* each sector, size and name by the toss of a coin */
};

enum faulty_fault {
    FAULTY_IO_ERROR, /* EIO; a write is half there, a sync loses what it should have kept */
    FAULTY_NO_SPACE, /* ENOSPC */
};

struct disk *faulty_disk_new(uint64_t seed);

/* Operations so far. */
uint64_t faulty_disk_operations(struct disk *disk);
/* The operation of that number (from 1) fails; 0: none. */
void faulty_disk_fail_at(struct disk *disk, uint64_t operation, enum faulty_fault fault);
/* From that operation on nothing works any more, reading included, until restart. 0: never. */
void faulty_disk_cut_at(struct disk *disk, uint64_t operation);
/* Reads fail from now on, or work again. */
void faulty_disk_fail_reads(struct disk *disk, bool fail);
/* Bytes that all files together may have; 0: no limit. */
void faulty_disk_set_capacity(struct disk *disk, uint64_t bytes);

/* The power goes, and comes again; faults are taken back. */
void faulty_disk_restart(struct disk *disk, enum faulty_unsynced unsynced);

/* What the files hold now, past the counting and the faults. The size of a missing file is 0. */
uint64_t faulty_disk_file_size(struct disk *disk, const char *path);
/* Flips bits of one byte, as the surface may; synced and unsynced alike. */
void faulty_disk_flip(struct disk *disk, const char *path, uint64_t offset, uint8_t bits);
void faulty_disk_peek(struct disk *disk, const char *path, uint64_t offset, void *out, size_t size);

#endif
