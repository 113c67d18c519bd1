/* A thread that polls connections only while there is work for it.
 *
 * gRPC's epoll1 engine has one epoll set for all connections of the process: whichever thread
 * polls reads whatever arrives, and hands over what is not its own. A second thread that always
 * polls would take half the calls of a server that is in a hurry and hand them over, at the cost
 * of two wake-ups a call. So a server beside such a one leaves the polling to it, and has this
 * thread help while it has streams open, whose bytes should not all pass through the other's. */
#ifndef WAYBILL_RPC_IDLE_POLLER_H
#define WAYBILL_RPC_IDLE_POLLER_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdbool.h>

struct idle_poller {
    grpc_completion_queue *core; /* polls; nothing completes on it */
    pthread_t thread;
    int nice; /* of the thread; set between init and start */
    bool runs;
    pthread_mutex_t lock; /* below */
    pthread_cond_t changed;
    unsigned busy;
    bool stopping;
};

/* Makes the queue that polls; no thread yet. grpc_init comes before. */
void idle_poller_init(struct idle_poller *poller);
/* False when the system has no thread to give. */
bool idle_poller_start(struct idle_poller *poller, const char *name);
/* Each piece of work begins and ends; any thread. */
void idle_poller_begin(struct idle_poller *poller);
void idle_poller_end(struct idle_poller *poller);
/* Ends the thread, where it was started, and the queue. */
void idle_poller_stop(struct idle_poller *poller);

#endif
