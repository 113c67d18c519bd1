#include "common/stream/stream_pull.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum {
    SUBJECT_BYTES = 320,
    INBOX_BYTES = 128,
    REQUESTS_KEPT = 4, /* whose messages find room: a server that hung serves some that we left */
    WORDS_KEPT = 16,   /* of the server, about requests */
    /* The server gives a request up this much earlier than we do, so that nothing comes to one that we left. */
    HEAD_START_MS = 10,
    NS_PER_MS = 1000000,
};

struct stream_pull {
    struct stream_connection *connection;
    char subject[SUBJECT_BYTES];
    char inbox[INBOX_BYTES];
    char request[INBOX_BYTES + 24]; /* where the server answers the current request: each has its own below the inbox */
    uint64_t requests;
    int most;
    natsSubscription *subscription;

    pthread_mutex_t lock; /* what came and was not taken yet, in a ring; the library's thread puts it there */
    pthread_cond_t came;
    natsMsg **ring;
    size_t capacity;
    size_t first;
    size_t count;
};

/* ---- what came ---- */

/* What finds no room is lost, as if on its way. */
static void on_message(natsConnection *nats, natsSubscription *subscription, natsMsg *message, void *closure) {
    (void)nats;
    (void)subscription;
    struct stream_pull *pull = closure;
    pthread_mutex_lock(&pull->lock);
    bool room = pull->count < pull->capacity;
    if (room) {
        pull->ring[(pull->first + pull->count++) % pull->capacity] = message;
        pthread_cond_signal(&pull->came);
    }
    pthread_mutex_unlock(&pull->lock);
    if (!room) {
        log_debug("pulled_message_dropped", LOG_STR("request", pull->subject));
        natsMsg_Destroy(message);
    }
}

static struct timespec time_of(int64_t monotonic_us) {
    return (struct timespec){.tv_sec = monotonic_us / 1000000, .tv_nsec = monotonic_us % 1000000 * 1000};
}

/* NULL when nothing came until then. */
static natsMsg *take(struct stream_pull *pull, int64_t until_us) {
    struct timespec until = time_of(until_us);
    natsMsg *message = NULL;
    int timed_out = 0;
    pthread_mutex_lock(&pull->lock);
    while (pull->count == 0 && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&pull->came, &pull->lock, &until);
    }
    if (pull->count > 0) {
        message = pull->ring[pull->first];
        pull->first = (pull->first + 1) % pull->capacity;
        pull->count--;
    }
    pthread_mutex_unlock(&pull->lock);
    return message;
}

/* ---- its life ---- */

static struct stream_pull *pull_new(struct stream_connection *connection, int most) {
    struct stream_pull *pull = calloc(1, sizeof *pull);
    size_t capacity = REQUESTS_KEPT * (size_t)most + WORDS_KEPT;
    natsMsg **ring = calloc(capacity, sizeof(natsMsg *));
    if (pull == NULL || ring == NULL) {
        abort();
    }
    pull->connection = connection;
    pull->most = most;
    pull->ring = ring;
    pull->capacity = capacity;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&pull->lock, NULL);
    pthread_cond_init(&pull->came, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pull;
}

static natsStatus subscribe(struct stream_pull *pull) {
    natsInbox *inbox = NULL;
    char all[INBOX_BYTES + 2];
    natsStatus status = natsInbox_Create(&inbox);
    if (status == NATS_OK) {
        snprintf(pull->inbox, sizeof pull->inbox, "%s", inbox);
        snprintf(all, sizeof all, "%s.*", pull->inbox);
        status = natsConnection_Subscribe(&pull->subscription, stream_connection_nats(pull->connection), all,
                                          on_message, pull);
    }
    natsInbox_Destroy(inbox);
    return status;
}

struct stream_pull *stream_pull_open(struct stream_connection *connection, const char *stream, const char *consumer,
                                     int most, struct error *error) {
    struct stream_pull *pull = pull_new(connection, most);
    snprintf(pull->subject, sizeof pull->subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer);
    natsStatus status = subscribe(pull);
    if (status != NATS_OK) {
        stream_set_error(error, status, 0, "subscribing to what is pulled");
        stream_pull_close(pull);
        return NULL;
    }
    return pull;
}

void stream_pull_close(struct stream_pull *pull) {
    if (pull == NULL) {
        return;
    }
    stream_unsubscribe(pull->connection, pull->subscription);
    for (size_t i = 0; i < pull->count; i++) {
        natsMsg_Destroy(pull->ring[(pull->first + i) % pull->capacity]);
    }
    pthread_cond_destroy(&pull->came);
    pthread_mutex_destroy(&pull->lock);
    free(pull->ring);
    free(pull);
}

/* ---- asking ---- */

/* With both `no_wait` and `expires` the server waits for the first message, but not for more than there are.
 * It may also say at once that there are none, or that others wait already: it does not where one alone is
 * waited for. */
bool stream_pull_ask(struct stream_pull *pull, int count, int64_t wait_ms, struct error *error) {
    assert(count > 0 && count <= pull->most);
    char expires[48] = "";
    char body[128];
    if (wait_ms > 0) {
        int64_t expires_ms = wait_ms > 2 * HEAD_START_MS ? wait_ms - HEAD_START_MS : wait_ms;
        snprintf(expires, sizeof expires, ",\"expires\":%" PRId64, expires_ms * NS_PER_MS);
    }
    snprintf(body, sizeof body, "{\"batch\":%d%s%s}", count, expires,
             count > 1 || wait_ms == 0 ? ",\"no_wait\":true" : "");
    snprintf(pull->request, sizeof pull->request, "%s.%" PRIu64, pull->inbox, ++pull->requests);
    natsStatus status = natsConnection_PublishRequestString(stream_connection_nats(pull->connection), pull->subject,
                                                            pull->request, body);
    return status == NATS_OK || stream_set_error(error, status, 0, "asking for messages");
}

/* ---- taking ---- */

static const char *header(natsMsg *message, const char *name) {
    const char *value = NULL;
    return natsMsgHeader_Get(message, name, &value) == NATS_OK && value != NULL ? value : "";
}

/* What the server says of the current request: 404 there is nothing, 408 its time is over, or it brought what
 * there was. PULL_NOTHING: it goes on. */
static enum pull_outcome judge_word(natsMsg *word, struct error *error) {
    const char *code = header(word, "Status");
    if (strcmp(code, "404") == 0 || strcmp(code, "408") == 0) {
        return PULL_OVER;
    }
    if (strcmp(code, "100") == 0) {
        return PULL_NOTHING;
    }
    if (strcmp(code, "503") == 0) {
        stream_set_error(error, NATS_NO_RESPONDERS, 0, "asking for messages");
    } else {
        error_set(error, ERROR_UNAVAILABLE, "EVENT_STREAM_FAILED", "asking for messages: nats-server says: %s %s", code,
                  header(word, "Description"));
    }
    return PULL_FAILED;
}

enum pull_outcome stream_pull_next(struct stream_pull *pull, int64_t wait_ms, natsMsg **message, jsMsgMetaData **meta,
                                   struct error *error) {
    int64_t until_us = clock_monotonic_us(&system_clock) + wait_ms * 1000;
    for (;;) {
        enum pull_outcome outcome = PULL_NOTHING;
        *message = take(pull, until_us);
        if (*message == NULL) {
            return PULL_NOTHING;
        }
        if (natsMsg_GetReply(*message) != NULL && natsMsg_GetMetaData(meta, *message) == NATS_OK) {
            return PULL_MESSAGE;
        }
        /* A word about an earlier request comes late, and says nothing of this one. */
        if (strcmp(natsMsg_GetSubject(*message), pull->request) == 0) {
            outcome = judge_word(*message, error);
        }
        natsMsg_Destroy(*message);
        *message = NULL;
        if (outcome != PULL_NOTHING) {
            return outcome;
        }
    }
}
