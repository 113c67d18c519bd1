#include "common/base/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static void stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void signals_prepare(void) {
    sigset_t set;
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool signals_pending(void) {
    sigset_t set;
    return sigpending(&set) == 0 && (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1);
}

int signals_wait(void) {
    sigset_t set;
    stop_signals(&set);
    int number = 0;
    while (sigwait(&set, &number) != 0) {
    }
    return number;
}
