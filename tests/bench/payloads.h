/* Payloads that are moved and measured: through UploadPayload, until they are STORED, and back
 * through ReadObject, by the client library as its users do it.
 *
 * Payload number n of a size always has the same key, and bytes of its own. */
#ifndef WAYBILL_BENCH_PAYLOADS_H
#define WAYBILL_BENCH_PAYLOADS_H

#include "common/client/waybill_client.h"
#include "tests/bench/transfer.h"

struct payloads {
    struct waybill_client *client;
    const char *bucket;
    uint64_t bytes; /* of each */
    uint64_t first; /* number of the first one that is uploaded */
    uint64_t count; /* of those that are read: numbers 0 to count - 1 */
    bool is_inline; /* sent inside PutRecord */
};

/* Moves of struct transfer; `self` is struct payloads. A read checks what it gets. */
void payloads_upload(void *self, uint64_t number);
void payloads_read(void *self, uint64_t number);

struct store_result {
    double stored;          /* payloads per second that became STORED in the measured time, and until one is */
    struct latency latency; /* from commit to STORED */
};

/* Uploads while no more than `ahead` payloads wait to become STORED, and returns when all are.
 * What the transfer tells of uploads is in `result`. Cancels the client in the end. */
void payloads_store(const struct payloads *payloads, const struct transfer *transfer, uint64_t ahead,
                    struct transfer_result *result, struct store_result *store);

#endif
