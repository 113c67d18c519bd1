/* What becomes of a batch of staged payloads: pull ▸ append ▸ flush ▸ report. Each payload fails
 * for itself: what is good in a batch is stored whatever its neighbours are.
 *
 * The core does no network I/O of its own and reads no clock but the one handed to it: it
 * pulls through a payload source, stores in a hot store and reports to a report sink, so
 * that a simulator can drive the same code. Everything is idempotent by payload id: what the
 * hot store has already is only reported once more.
 *
 * One thread per core. */
#ifndef WAYBILL_INGEST_INGEST_CORE_H
#define WAYBILL_INGEST_INGEST_CORE_H

#include "common/base/clock.h"
#include "common/base/error.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/ingest/ingest_notes.h"
#include "object-svc/ingest/retry_policy.h"
#include "object-svc/tier/move_guard.h"
#include "object-svc/upstream/object_report.h"
#include "object-svc/upstream/payload_source.h"

/* At most as many as one pull and one report take. */
enum { INGEST_BATCH_MAX = 1000 };

/* What the delivery of an item should be answered with. */
enum ingest_outcome {
    INGEST_STORED,   /* durable here and committed as such: done */
    INGEST_OBSOLETE, /* nobody wants these bytes (any more): done */
    INGEST_RETRY,    /* something was in the way; `error` says what: deliver again after `delay_ms` */
    INGEST_FAILED,   /* given up because of `error`, which is committed as the version's failure: done */
    INGEST_DEAD,     /* given up, and metadata-svc does not take that: keep a dead letter, then done */
};

struct ingest_item {
    /* What the change event says; borrowed until the batch is over. */
    struct provenance provenance;
    uint64_t deliveries; /* this one included; 0 is taken for 1 */
    enum ingest_outcome outcome;
    /* For RETRY, FAILED and DEAD. */
    struct error error;
    enum retry_place place;
    enum retry_class fault;
    uint64_t attempts;
    int64_t delay_ms; /* for RETRY */
};

struct ingest_ports {
    struct hot_store *hot;
    struct payload_source source;
    struct report_sink sink;
    const struct clock *clock;
    struct retry_policy retry;
    struct move_guard *guard;   /* NULL where nobody moves objects */
    struct disk *attempts;      /* where they are kept; NULL: a restart forgets them */
    struct ingest_notes *notes; /* NULL: a kill may leave copies that nobody knows */
    /* Called now and then while a batch takes long, to keep its deliveries alive. */
    void (*progress)(void *self);
    void *progress_self;
};

struct ingest_core;

/* Opens an appender of the hot store, and reads the notes: what an earlier run stored and may not have
 * told of is told of as soon as metadata-svc is there. */
struct ingest_core *ingest_core_new(const struct ingest_ports *ports, struct error *error);
void ingest_core_free(struct ingest_core *core);

/* While there is nothing to do: lets go of what the hot store wants back, and tells of what earlier
 * batches stored and could not tell of. */
void ingest_core_rest(struct ingest_core *core);
/* Fills every item's outcome. */
void ingest_core_run(struct ingest_core *core, struct ingest_item *items, size_t count);

#endif
