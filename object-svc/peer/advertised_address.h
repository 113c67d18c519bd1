/* The address by which other replicas reach this one. */
#ifndef WAYBILL_PEER_ADVERTISED_ADDRESS_H
#define WAYBILL_PEER_ADVERTISED_ADDRESS_H

#include "common/base/error.h"

enum { ADVERTISED_ADDRESS_BYTES = 520 };

/* `configured`, unless it is ""; else the host of `listen`, or the machine's name where that is
 * every address, and the port that is listened on. */
bool advertised_address(const char *configured, const char *listen, int port, char out[ADVERTISED_ADDRESS_BYTES],
                        struct error *error);

#endif
