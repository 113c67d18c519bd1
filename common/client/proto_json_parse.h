/* The way back from proto_json.h: a protobuf-c message from its JSON, as that writes it.
 *
 * Names that the message does not have, and null, are passed over, so that what a later release
 * wrote can be read; a value of the wrong kind is an error. Any and FieldMask are not read.
 * Pure functions; any thread. */
#ifndef WAYBILL_CLIENT_PROTO_JSON_PARSE_H
#define WAYBILL_CLIENT_PROTO_JSON_PARSE_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"

/* In the arena; NULL where the text is no JSON object of that type. */
ProtobufCMessage *proto_json_parse(const ProtobufCMessageDescriptor *type, struct bytes text, struct arena *arena);

#endif
