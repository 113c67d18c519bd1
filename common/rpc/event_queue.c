#include "common/rpc/event_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/thread_turn.h"
#include "common/rpc/sync_annotations.h"

void event_queue_init(struct event_queue *queue, enum event_queue_kind kind) {
    grpc_completion_queue_attributes attributes = {
        .version = GRPC_CQ_CURRENT_VERSION,
        .cq_completion_type = GRPC_CQ_NEXT,
        .cq_polling_type = kind == EVENT_QUEUE_POLLS ? GRPC_CQ_DEFAULT_POLLING : GRPC_CQ_NON_POLLING,
    };
    const grpc_completion_queue_factory *factory = grpc_completion_queue_factory_lookup(&attributes);
    *queue = (struct event_queue){.core = grpc_completion_queue_create(factory, &attributes, NULL)};
}

static void *run(void *argument) {
    struct event_queue *queue = argument;
    for (;;) {
        grpc_event next = grpc_completion_queue_next(queue->core, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (next.type == GRPC_QUEUE_SHUTDOWN) {
            return NULL;
        }
        if (next.type == GRPC_OP_COMPLETE) {
            struct queue_event *event = next.tag;
            handover_acquire(event);
            event->complete(event, next.success != 0);
        }
    }
}

static void *run_thread(void *argument) {
    const struct event_queue *queue = argument;
    thread_turn_stand_back(queue->nice);
    if (queue->prompt) {
        thread_turn_be_prompt();
    }
    return run(argument);
}

bool event_queue_start(struct event_queue *queue, unsigned threads, const char *name) {
    assert(threads >= 1 && threads <= EVENT_QUEUE_MAX_THREADS);
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&queue->thread[i], NULL, run_thread, queue) != 0) {
            return queue->threads > 0;
        }
        pthread_setname_np(queue->thread[i], name);
        queue->threads++;
    }
    return true;
}

void event_queue_stop(struct event_queue *queue) {
    grpc_completion_queue_shutdown(queue->core);
    if (queue->threads == 0) {
        run(queue);
    }
    for (unsigned i = 0; i < queue->threads; i++) {
        pthread_join(queue->thread[i], NULL);
    }
    grpc_completion_queue_destroy(queue->core);
    queue->core = NULL;
}

void event_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct queue_event *event) {
    handover_release(event);
    grpc_call_error refused = grpc_call_start_batch(call, ops, count, event, NULL);
    if (refused != GRPC_CALL_OK) {
        log_error("rpc_batch_refused", LOG_STR("why", grpc_call_error_to_string(refused)));
        abort();
    }
}

/* Whether this thread looks for a completion of its own: only the outermost call does. */
static _Thread_local bool looking;

bool event_start_batch_here(struct event_queue *queue, grpc_call *call, const grpc_op *ops, size_t count,
                            struct queue_event *event, bool *ok) {
    if (looking) {
        event_start_batch(call, ops, count, event);
        return false;
    }
    void *tag = NULL;
    int success = 0;
    looking = true;
    grpc_completion_queue_thread_local_cache_init(queue->core);
    event_start_batch(call, ops, count, event);
    bool caught = grpc_completion_queue_thread_local_cache_flush(queue->core, &tag, &success) != 0;
    bool ours = caught && tag == event;
    if (caught) {
        handover_acquire((struct queue_event *)tag);
    }
    if (ours) {
        *ok = success != 0;
    } else if (caught) {
        /* Another call's operation, which ended on this thread by chance. */
        struct queue_event *other = tag;
        other->complete(other, success != 0);
    }
    looking = false;
    return ours;
}
