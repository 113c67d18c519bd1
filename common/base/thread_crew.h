/* Threads that all run one loop, from start to end together. */
#ifndef WAYBILL_BASE_THREAD_CREW_H
#define WAYBILL_BASE_THREAD_CREW_H

#include <pthread.h>

/* Zero-initialized has none. One thread starts and joins it. */
struct thread_crew {
    pthread_t *threads;
    unsigned count;
};

/* Starts so many threads of that name (at most 15 bytes), which all run `loop` with `self`. Where the
 * system gives none it aborts: without them nothing would ever go on. */
void thread_crew_start(struct thread_crew *crew, unsigned count, const char *name, void *(*loop)(void *self),
                       void *self);
/* Waits until all have ended; that they do is for the caller to see to. */
void thread_crew_join(struct thread_crew *crew);

#endif
