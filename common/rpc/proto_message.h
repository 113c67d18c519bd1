/* Protobuf messages of the outside world, decoded with care.
 *
 * protobuf-c checks neither that a `string` is UTF-8 nor that it holds no NUL (it would cut
 * the C string short), so the wire form is checked against the descriptor first. */
#ifndef WAYBILL_RPC_PROTO_MESSAGE_H
#define WAYBILL_RPC_PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

enum {
    PROTO_MAX_DEPTH = 32,
    /* Two bytes on the wire can be a nested message of hundreds in memory; the structs of one
     * request may take so much together. */
    PROTO_MAX_STRUCT_BYTES = 32 << 20,
};

/* The message, in the arena; NULL with INVALID_ARGUMENT: reason BAD_UTF8 (field named) or
 * MALFORMED_REQUEST. */
ProtobufCMessage *proto_decode(const ProtobufCMessageDescriptor *type, struct bytes wire, struct arena *arena,
                               struct error *error);
/* The wire form, in the arena. */
struct bytes proto_encode(const ProtobufCMessage *message, struct arena *arena);

#endif
