/* The stores of one object-svc, opened as its configuration has them: hot volumes, the cold store
 * with what moves it, the quarantine, the dead letters, and what is remembered of moves. */
#ifndef WAYBILL_OBJECT_STORES_H
#define WAYBILL_OBJECT_STORES_H

#include <stdatomic.h>

#include "common/base/disk.h"
#include "common/observe/metrics.h"
#include "object-svc/cold/cold_breaker.h"
#include "object-svc/cold/cold_s3.h"
#include "object-svc/config.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/ingest/dead_letters.h"
#include "object-svc/ingest/ingest_notes.h"
#include "object-svc/migrate/hot_migrator.h"
#include "object-svc/migrate/migrator.h"
#include "object-svc/tier/move_notes.h"
#include "object-svc/tier/read_times.h"

enum { STORES_PATH_BYTES = 4200 };

struct stores {
    struct hot_store *hot;
    struct cold_store *cold; /* behind the breaker */
    struct cold_breaker *cold_breaker;
    struct cold_store *quarantine;
    struct migrator *migrator;
    struct hot_migrator *hot_migrator;
    struct move_notes *move_notes;
    struct ingest_notes *ingest_notes;
    struct dead_letters *dead_letters;
    struct read_times *read_times;

    /* What they borrow. */
    char migration[STORES_PATH_BYTES];
    struct disk *moves_disk;
    char uploads[STORES_PATH_BYTES];
    atomic_bool given_up; /* nothing waits for a remote store any more, also where one is being opened */
    struct cold_s3_options s3_options;
    struct cold_store_options cold_options;
};

/* The config and the struct must stay where they are until the stores are closed. After a failure
 * stores_close is due, too. UNAVAILABLE, DRAINING where they were given up meanwhile. */
bool stores_open(struct stores *stores, const struct object_config *config, struct metrics *metrics,
                 struct error *error);
/* Whatever waits for a remote store ends within about a second, now and from now on; an opening fails. Any
 * thread; for a shutdown. */
void stores_give_up(struct stores *stores);
/* Ends what they do by themselves, such as a migration. */
void stores_stop(struct stores *stores);
/* Nobody may use them any more. */
void stores_close(struct stores *stores);

#endif
