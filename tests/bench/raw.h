/* What disk and loopback carry with nothing between: bytes per second. */
#ifndef WAYBILL_BENCH_RAW_H
#define WAYBILL_BENCH_RAW_H

#include <stdbool.h>
#include <stdint.h>

/* Writes of 1 MiB one after the other to a preallocated file in the directory, made durable after
 * each 64 MiB; past the page cache where `direct`. */
double raw_disk(const char *directory, bool direct, int64_t measure_us);
/* One TCP connection of this process to itself, 1 MiB at a time. */
double raw_loopback(int64_t measure_us);

#endif
