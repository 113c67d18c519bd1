/* Messages between our plain bytes and the C core's byte buffers. */
#ifndef WAYBILL_RPC_WIRE_MESSAGE_H
#define WAYBILL_RPC_WIRE_MESSAGE_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"

/* The message in wire form, one reference to it. */
grpc_slice wire_slice_pack(const ProtobufCMessage *message);
/* The message in wire form; the caller destroys it. */
grpc_byte_buffer *wire_message_pack(const ProtobufCMessage *message);
/* A message of two pieces of bytes, copied into one slice. */
grpc_byte_buffer *wire_message_join(struct bytes head, struct bytes body);
/* A buffer over the slices, whose references it takes. */
grpc_byte_buffer *wire_message_of_slices(grpc_slice *slices, size_t count);
/* The bytes in one piece where they already are: then `slice`, to be released when they are
 * no longer needed, keeps them. False when they are in several pieces. */
bool wire_message_borrow(grpc_byte_buffer *buffer, grpc_slice *slice, struct bytes *whole);
/* Gives up a borrowed slice. Messages of one connection may lie in the same memory, which the
 * last one to be released frees, on whichever thread that is. */
void wire_slice_release(grpc_slice slice);
/* Copies the pieces one after another to `out`, which has room for the buffer's length. */
void wire_message_copy(grpc_byte_buffer *buffer, uint8_t *out);

/* A NUL-terminated copy of a header's value in the arena; NULL when it is not there or holds
 * a NUL. */
const char *wire_header(const grpc_metadata_array *headers, const char *name, struct arena *arena);
/* A binary header as it is, borrowed from the array; size 0 when it is not there. */
struct bytes wire_binary_header(const grpc_metadata_array *headers, const char *name);

#endif
