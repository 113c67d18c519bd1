/* The waybill command. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

int main(int argc, char **argv) {
    /* Before gRPC starts threads, which inherit the blocked signals. */
    struct interrupt *interrupt = interrupt_start();
    struct cli_streams streams = {.in = STDIN_FILENO, .out = stdout, .err = stderr};
    int status = cli_run(argc, (const char **)argv, &streams, interrupt);
    interrupt_stop(interrupt);
    return status;
}
