/* Finds the newest message of ours in a stream, however many of others, or removed ones, lie behind it: a
 * step at a time, with bounded memory. What was looked at is remembered, so that a search which takes
 * more than one step goes on where it was, and one whose stream only grew looks at what is new.
 *
 * Only headers are read, from consumers that the server forgets by itself. One thread. */
#ifndef WAYBILL_STREAM_STREAM_SEARCH_H
#define WAYBILL_STREAM_STREAM_SEARCH_H

#include "common/stream/stream_connection.h"

struct stream_search;

struct stream_search_options {
    struct stream_connection *connection;
    const char *stream; /* outlives the search */
    /* Whether a message with this Nats-Msg-Id is ours; those without one never are. */
    bool (*is_ours)(void *self, const char *message_id);
    void *self;
    int64_t step_us; /* after which a step ends as soon as it can; 0: a second */
};

struct stream_search *stream_search_new(const struct stream_search_options *options);
/* NULL is fine. */
void stream_search_free(struct stream_search *search);

/* What a step came to. */
struct stream_search_result {
    bool done;       /* else another step goes on */
    natsMsg *newest; /* of ours, the caller's; NULL: there is none */
    bool passed;     /* something was behind it: the stream may have grown meanwhile */
};

/* Looks through a stream, one that holds something, from the end that `info` tells of. Takes not much more
 * than `step_us` if the server answers. UNAVAILABLE (EVENT_STREAM_FAILED) when it does not; what was found
 * out is kept. */
bool stream_search_step(struct stream_search *search, const jsStreamInfo *info, struct stream_search_result *result,
                        struct error *error);

/* Looks at what came since a step that was done, in one round, with nothing but that in mind: `same` tells whether
 * what was found then is the newest of ours still. */
bool stream_search_follow(struct stream_search *search, const jsStreamInfo *info, bool *same, struct error *error);

#endif
