/* The wire form of protobuf around bulk bytes, so that these need no copy: a message whose
 * last field is the bytes is a head, ending with that field's tag and length, and the bytes.
 * See "Encoding" in the Protocol Buffers documentation. */
#ifndef WAYBILL_RPC_BULK_FIELD_H
#define WAYBILL_RPC_BULK_FIELD_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/bytes.h"

enum { BULK_FIELD_MAX_BYTES = 15 };

/* Appends tag and length of a length-delimited field. */
void bulk_field_append(struct buffer *head, unsigned field, size_t size);
/* Appends a whole message, without its bulk field. */
void bulk_head_append(struct buffer *head, const ProtobufCMessage *message);
/* Appends a member that is itself such a message, with `size` bytes in its `data_field`. */
void bulk_member_append(struct buffer *head, unsigned field, const ProtobufCMessage *member, unsigned data_field,
                        size_t size);

#endif
