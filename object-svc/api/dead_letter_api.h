/* ListFailedPayloads and CancelPayload of AdminService, as object-svc serves them: its dead
 * letters. */
#ifndef WAYBILL_OBJECT_DEAD_LETTER_API_H
#define WAYBILL_OBJECT_DEAD_LETTER_API_H

#include "common/rpc/rpc_server.h"
#include "object-svc/ingest/dead_letters.h"

struct dead_letter_api {
    const char *replica;
    struct dead_letters *letters;
};

/* The api outlives the server. */
void dead_letter_api_add_to(struct dead_letter_api *api, struct rpc_server *server);

#endif
