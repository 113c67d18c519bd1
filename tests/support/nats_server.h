/* A real nats-server with JetStream for one test: on a free port, below a temporary directory,
 * to be killed, wiped, halted and started again. What goes wrong here aborts the test.
 *
 * The program is `nats-server` in PATH or /usr/sbin, or what WAYBILL_TEST_NATS_SERVER names. */
#ifndef WAYBILL_TESTS_NATS_SERVER_H
#define WAYBILL_TESTS_NATS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct nats_server {
    pid_t pid; /* 0: it does not run */
    int port;  /* the same after each start */
    char directory[64];
    char url[64];
};

/* Takes a port and a directory, without starting it. */
struct nats_server nats_server_new(void);
/* Starts it and waits until it takes connections. */
void nats_server_start(struct nats_server *server);
/* kill -9. */
void nats_server_kill(struct nats_server *server);
/* Ends it in an orderly way, so that all is on its disk. */
void nats_server_stop(struct nats_server *server);
/* It takes no time, and gives none: SIGSTOP, SIGCONT. */
void nats_server_halt(struct nats_server *server);
void nats_server_resume(struct nats_server *server);
/* Empties its data directory; it must not run. */
void nats_server_wipe(struct nats_server *server);
/* Keeps a copy of the data directory, and puts it back: a disk that forgot what came after.
 * It must not run. */
void nats_server_keep_data(struct nats_server *server);
void nats_server_restore_data(struct nats_server *server);
/* Kills it and removes the directory. */
void nats_server_free(struct nats_server *server);

#endif
