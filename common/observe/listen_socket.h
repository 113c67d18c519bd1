/* A bound, listening TCP socket for "host:port". */
#ifndef WAYBILL_OBSERVE_LISTEN_SOCKET_H
#define WAYBILL_OBSERVE_LISTEN_SOCKET_H

#include "common/base/error.h"

/* The socket, close-on-exec, or -1: INVALID_ARGUMENT (BAD_ADDRESS) for what is no address,
 * UNAVAILABLE (BAD_ADDRESS for a host that does not resolve, ADDRESS_IN_USE for the rest).
 * `port` is the one it got. */
int listen_socket_open(const char *address, int backlog, int *port, struct error *error);

#endif
