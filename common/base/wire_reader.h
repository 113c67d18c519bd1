/* The fields of a protobuf message in wire form, one after the other, without decoding it
 * (https://protobuf.dev/programming-guides/encoding/): for code on a fast path that needs two
 * fields of twenty, or none. */
#ifndef WAYBILL_BASE_WIRE_READER_H
#define WAYBILL_BASE_WIRE_READER_H

#include "common/base/bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* of a varint; the size of a length-delimited one */
    struct bytes bytes; /* of a length-delimited one; borrowed from the message */
    struct bytes whole; /* with tag and length */
};

/* Takes the next field off the message. False at its end, and where it cannot be read: then
 * `wire` is left as it is, so that an empty one tells the end. */
bool wire_next(struct bytes *wire, struct wire_field *field);

#endif
