/* Where what is gathered comes from: the event stream, and replicas of object-svc, which run. */
#ifndef WAYBILL_REBUILD_REBUILD_SOURCES_H
#define WAYBILL_REBUILD_REBUILD_SOURCES_H

#include "metadata-svc/rebuild/gathered.h"

/* What could not be read in a source is told and passed over. */
struct rebuild_source {
    /* Told of often; `count` events or objects so far. */
    void (*progress)(void *self, const char *what, int64_t count);
    void (*passed_over)(void *self, const char *what, const char *why);
    void *self;
    int64_t passed_over_total;
};

/* All events that the shard's stream holds. `exists`: whether there is a stream. UNAVAILABLE
 * (EVENT_STREAM_FAILED) where no server answers. */
bool rebuild_read_events(struct gathered *gathered, const char *nats_url, const char *shard,
                         struct rebuild_source *source, bool *exists, struct error *error);

enum { REBUILD_REPLICA_BYTES = 128 };
/* All objects in a tier of the replica at that gRPC target, whose name is then in `replica`. */
bool rebuild_read_objects(struct gathered *gathered, const char *target, enum tier tier, struct rebuild_source *source,
                          char replica[REBUILD_REPLICA_BYTES], struct error *error);

#endif
