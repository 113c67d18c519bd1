/* What the files of metadata_client share. */
#ifndef WAYBILL_UPSTREAM_METADATA_CLIENT_PARTS_H
#define WAYBILL_UPSTREAM_METADATA_CLIENT_PARTS_H

#include "common/rpc/rpc_channel.h"
#include "object-svc/upstream/metadata_client.h"
#include "object-svc/upstream/report_numbers.h"

struct metadata_client {
    struct rpc_channel *metadata;
    struct rpc_channel *payloads;
    char *replica;
    struct report_numbers numbers;
};

#endif
