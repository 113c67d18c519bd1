/* Where payloads are pulled from: metadata-svc's spool, or a simulator's stand-in.
 *
 * A pull names the payloads it wants; what comes is one event after the other, in the order
 * of the payloads: for each a BEGIN, CHUNKs and an END, or a REFUSED at any point. One thread. */
#ifndef WAYBILL_UPSTREAM_PAYLOAD_SOURCE_H
#define WAYBILL_UPSTREAM_PAYLOAD_SOURCE_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/uuid.h"

enum { PAYLOAD_PULL_MAX = 1000 };

/* Reason of a PULL_BROKEN (UNAVAILABLE) for what came of one payload, from a source that is there. */
#define PULL_GARBLED "PULL_GARBLED"

struct payload_range {
    struct uuid payload_id;
    uint64_t offset;
    uint64_t limit; /* 0: to the end */
};

enum pull_step {
    PULL_BEGIN,   /* size_bytes and crc32c of the whole payload */
    PULL_CHUNK,   /* the next bytes, their checksum verified */
    PULL_END,     /* all of this payload has come */
    PULL_REFUSED, /* this payload cannot be had: `error` says why; the pull goes on */
    PULL_DONE,    /* every payload was answered */
    PULL_BROKEN,  /* the pull is over: `error` says why */
};

struct pull_event {
    size_t index; /* of the payload, as they were asked for */
    uint64_t size_bytes;
    uint32_t crc32c;
    struct bytes data; /* valid until the next step */
    struct error error;
};

struct payload_pull;

struct payload_source {
    /* NULL: the source cannot be reached. At most PAYLOAD_PULL_MAX ranges. */
    struct payload_pull *(*open)(void *self, const struct payload_range *ranges, size_t count, struct error *error);
    enum pull_step (*next)(struct payload_pull *pull, struct pull_event *event);
    /* Also ends a pull before it is done. */
    void (*close)(struct payload_pull *pull);
    void *self;
};

#endif
