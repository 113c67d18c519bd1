#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct interrupt {
    sigset_t signals;
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;
    /* Under the lock. */
    struct waybill_client *client;
    char *file;
    bool success;
    bool polled;
    bool stopping;
    int seen; /* the first signal, or 0 */
};

/* Wakes the thread so that it ends; nobody else sends it. */
enum { STOP_SIGNAL = SIGUSR2 };

static int exit_status(const struct interrupt *interrupt) {
    return interrupt->success ? 0 : 128 + interrupt->seen;
}

/* Under the lock. */
static void take_signal(struct interrupt *interrupt, int number) {
    bool again = interrupt->seen != 0;
    interrupt->seen = again ? interrupt->seen : number;
    bool ends_itself = interrupt->polled || (interrupt->client != NULL && waybill_client_cancel(interrupt->client));
    if (again || !ends_itself) {
        if (interrupt->file != NULL) {
            unlink(interrupt->file);
        }
        _exit(exit_status(interrupt));
    }
}

static void *wait_for_signals(void *argument) {
    struct interrupt *interrupt = argument;
    pthread_setname_np(pthread_self(), "signals");
    for (;;) {
        int number;
        if (sigwait(&interrupt->signals, &number) != 0) {
            continue;
        }
        pthread_mutex_lock(&interrupt->lock);
        bool stopping = interrupt->stopping;
        if (!stopping && number != STOP_SIGNAL) {
            take_signal(interrupt, number);
        }
        pthread_mutex_unlock(&interrupt->lock);
        if (stopping) {
            return NULL;
        }
    }
}

static void add_unless_ignored(sigset_t *signals, int number) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
        sigaddset(signals, number);
    }
}

struct interrupt *interrupt_start(void) {
    struct interrupt *interrupt = calloc(1, sizeof *interrupt);
    if (interrupt == NULL) {
        abort();
    }
    pthread_mutex_init(&interrupt->lock, NULL);
    sigemptyset(&interrupt->signals);
    add_unless_ignored(&interrupt->signals, SIGINT);
    add_unless_ignored(&interrupt->signals, SIGTERM);
    add_unless_ignored(&interrupt->signals, SIGHUP);
    sigaddset(&interrupt->signals, STOP_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
    interrupt->runs = pthread_create(&interrupt->thread, NULL, wait_for_signals, interrupt) == 0;
    if (!interrupt->runs) {
        /* Then signals end the process as usual. */
        pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
    }
    return interrupt;
}

void interrupt_stop(struct interrupt *interrupt) {
    if (interrupt == NULL) {
        return;
    }
    if (interrupt->runs) {
        pthread_mutex_lock(&interrupt->lock);
        interrupt->stopping = true;
        pthread_mutex_unlock(&interrupt->lock);
        pthread_kill(interrupt->thread, STOP_SIGNAL);
        pthread_join(interrupt->thread, NULL);
    }
    pthread_mutex_destroy(&interrupt->lock);
    free(interrupt->file);
    free(interrupt);
}

void interrupt_watch_client(struct interrupt *interrupt, struct waybill_client *client) {
    if (interrupt == NULL) {
        return;
    }
    pthread_mutex_lock(&interrupt->lock);
    interrupt->client = client;
    pthread_mutex_unlock(&interrupt->lock);
}

void interrupt_watch_file(struct interrupt *interrupt, const char *path) {
    if (interrupt == NULL) {
        return;
    }
    char *copy = path != NULL ? strdup(path) : NULL;
    pthread_mutex_lock(&interrupt->lock);
    free(interrupt->file);
    interrupt->file = copy;
    pthread_mutex_unlock(&interrupt->lock);
}

void interrupt_is_success(struct interrupt *interrupt) {
    if (interrupt == NULL) {
        return;
    }
    pthread_mutex_lock(&interrupt->lock);
    interrupt->success = true;
    pthread_mutex_unlock(&interrupt->lock);
}

void interrupt_is_polled(struct interrupt *interrupt) {
    if (interrupt == NULL) {
        return;
    }
    pthread_mutex_lock(&interrupt->lock);
    interrupt->polled = true;
    pthread_mutex_unlock(&interrupt->lock);
}

bool interrupt_seen(struct interrupt *interrupt, int *status) {
    if (interrupt == NULL) {
        return false;
    }
    pthread_mutex_lock(&interrupt->lock);
    bool seen = interrupt->seen != 0;
    *status = exit_status(interrupt);
    pthread_mutex_unlock(&interrupt->lock);
    return seen;
}
