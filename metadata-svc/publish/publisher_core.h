/* How the change log gets into the stream: in revision order, each once, whatever the stream
 * forgets (promise 4). No thread, clock or network of its own.
 *
 * At the beginning and after anything odd (a refused, lost or displaced event, a new
 * connection) it asks the stream for the last revision it has and goes on behind that one. So
 * a stream that lost its tail, or everything, gets it again from the log. Messages of others
 * behind that revision are no obstacle, however many. Every event carries
 * the sequence that must be the stream's last: a gap, a reordering or a second writer makes
 * the stream refuse it.
 *
 * A stream whose newest event is not the one that this log has for that revision (or has not)
 * tells another history: a backup was restored, or somebody else writes by our name. Then
 * nothing is published until somebody decides (PUBLISHER_FENCED). */
#ifndef WAYBILL_PUBLISH_PUBLISHER_CORE_H
#define WAYBILL_PUBLISH_PUBLISHER_CORE_H

#include "common/base/clock.h"
#include "metadata-svc/publish/change_reader.h"
#include "metadata-svc/publish/event_sink.h"

struct publisher_core;

struct publisher_core_options {
    unsigned window;        /* events on their way at most, up to PUBLISHER_WINDOW_MAX */
    size_t window_bytes;    /* of events on their way at most (one always goes); 0: PUBLISHER_WINDOW_BYTES */
    int64_t ack_timeout_us; /* no answer for so long while some are due: they are lost */
    const struct clock *clock;
};

enum {
    PUBLISHER_WINDOW_MAX = 65536,
    PUBLISHER_WINDOW_BYTES = 8 * 1024 * 1024,
    /* Pauses before the stream is asked again when asking did not help; the first one, ever again, where all
     * that is in the way is that others are quicker with messages of theirs. */
    PUBLISHER_FIRST_PAUSE_MS = 50,
    PUBLISHER_LONGEST_PAUSE_MS = 5000,
};

enum publisher_state {
    PUBLISHER_WAITING,    /* for a connection, or after a failure */
    PUBLISHER_PUBLISHING, /* all is well */
    PUBLISHER_FENCED,     /* the stream tells another history than this log: publishing would contradict
                             what was published */
};

/* Borrows reader and sink. Looks at the log's bounds: what it no longer has was published. */
struct publisher_core *publisher_core_new(struct change_reader reader, struct event_sink sink,
                                          const struct publisher_core_options *options);
void publisher_core_free(struct publisher_core *core);

/* Does what can be done now without waiting (but for one sync). Returns whether something is
 * on its way, so that the next step should follow the next acknowledgement, and soon. */
bool publisher_core_step(struct publisher_core *core);
/* Everything on its way is in doubt: the next step asks the stream. */
void publisher_core_resync(struct publisher_core *core);

/* Any thread. */
enum publisher_state publisher_core_state(const struct publisher_core *core);
/* The newest revision that the stream is known to have, with all below it; before it was ever
 * asked, the least that it may be. Goes back when the stream lost events. */
int64_t publisher_core_published(const struct publisher_core *core);
uint64_t publisher_core_published_total(const struct publisher_core *core);
/* How often it had to go back. */
uint64_t publisher_core_rewinds_total(const struct publisher_core *core);
/* Events on their way. */
unsigned publisher_core_in_flight(const struct publisher_core *core);

#endif
