/* What the printer and the parser of JSON share. */
#ifndef WAYBILL_CLIENT_PROTO_JSON_PARTS_H
#define WAYBILL_CLIENT_PROTO_JSON_PARTS_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/* Bytes that one value of the type takes in a message's struct, or in a repeated field's array. */
size_t proto_json_element_size(ProtobufCType type);

#endif
