/* A completion queue of the C core and the threads on it. What comes out of the queue is an
 * event: a struct with the function to run, embedded in the object that waits for it.
 *
 * Functions run on a queue thread and must not block. */
#ifndef WAYBILL_RPC_EVENT_QUEUE_H
#define WAYBILL_RPC_EVENT_QUEUE_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct queue_event {
    /* `ok` is false when the operation failed or the server shut down. */
    void (*complete)(struct queue_event *event, bool ok);
};

/* The object that an event is embedded in. */
#define event_owner(event, type, member) ((type *)(void *)((char *)(event)-offsetof(type, member)))

enum { EVENT_QUEUE_MAX_THREADS = 16 };

struct event_queue {
    grpc_completion_queue *core;
    /* See common/base/thread_turn.h; set between init and start. */
    int nice;
    bool prompt;
    unsigned threads;
    pthread_t thread[EVENT_QUEUE_MAX_THREADS];
};

/* Whether the threads that wait on the queue also poll the process's connections. Without, they
 * sleep until another thread that polls wakes them (see idle_poller.h). */
enum event_queue_kind { EVENT_QUEUE_POLLS, EVENT_QUEUE_SLEEPS };

/* Makes the queue; no threads yet. grpc_init comes before. */
void event_queue_init(struct event_queue *queue, enum event_queue_kind kind);
/* Starts `threads` threads named `name`; false when the system has none to give. */
bool event_queue_start(struct event_queue *queue, unsigned threads, const char *name);
/* Lets the queue run empty, ends and joins the threads, destroys it. Nothing may add to it. */
void event_queue_stop(struct event_queue *queue);

/* Starts operations on a call; the event completes once. Asserts that the core takes them,
 * as only a mistake of ours makes it refuse. */
void event_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct queue_event *event);
/* The same on a call of this queue, but true, with `ok` as of the completion, when the
 * operations ended at once: then the event does not complete on a queue thread. False: it
 * does, or has. Spares many small writes the way through the queue. */
bool event_start_batch_here(struct event_queue *queue, grpc_call *call, const grpc_op *ops, size_t count,
                            struct queue_event *event, bool *ok);

#endif
