#include "common/base/thread_crew.h"

#include <stdlib.h>

void thread_crew_start(struct thread_crew *crew, unsigned count, const char *name, void *(*loop)(void *self),
                       void *self) {
    crew->threads = calloc(count, sizeof *crew->threads);
    if (count > 0 && crew->threads == NULL) {
        abort();
    }
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&crew->threads[i], NULL, loop, self) != 0) {
            abort();
        }
        pthread_setname_np(crew->threads[i], name);
        crew->count++;
    }
}

void thread_crew_join(struct thread_crew *crew) {
    for (unsigned i = 0; i < crew->count; i++) {
        pthread_join(crew->threads[i], NULL);
    }
    free(crew->threads);
    *crew = (struct thread_crew){0};
}
