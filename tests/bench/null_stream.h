/* Streams of bulk bytes with no work behind them: what the rpc room costs for payloads. The
 * receiver adds up a byte of every 4 KiB, so that what arrived is known to be what was sent. */
#ifndef WAYBILL_BENCH_NULL_STREAM_H
#define WAYBILL_BENCH_NULL_STREAM_H

#include "common/rpc/rpc_channel.h"
#include "common/rpc/rpc_server.h"

enum {
    NULL_STREAM_CHUNK_BYTES = 1 << 20, /* of each message, the last one apart */
    NULL_STREAM_MAX_MESSAGE_BYTES = 2 * NULL_STREAM_CHUNK_BYTES,
};

/* Its methods. */
void null_stream_serve(struct rpc_server *server);

/* One call that sends or receives so many bytes. Any error, and bytes that arrived otherwise
 * than they were sent, end the program. Any thread. */
void null_stream_upload(struct rpc_channel *channel, uint64_t bytes);
void null_stream_download(struct rpc_channel *channel, uint64_t bytes);

#endif
