/* The waybill command. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

static void ignore_broken_pipes(void) {
    /* A write then fails, and the command ends by itself, with status 0. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

int main(int argc, char **argv) {
    ignore_broken_pipes();
    /* Before gRPC starts threads, which inherit the blocked signals. */
    struct interrupt *interrupt = interrupt_start();
    struct cli_streams streams = {.in = STDIN_FILENO, .out = stdout, .err = stderr};
    int status = cli_run(argc, (const char **)argv, &streams, interrupt);
    interrupt_stop(interrupt);
    return status;
}
