/* Any protobuf-c message as JSON, by its descriptor: the proto3 JSON mapping.
 *
 *   field names            lowerCamelCase
 *   int64, uint64          strings; 32-bit integers and floats are numbers, NaN and the
 *                          infinities strings
 *   enums                  the value's name; a number that has none stays a number
 *   bytes                  base64 with padding
 *   maps                   objects
 *   oneof, `optional`      there exactly when set, also with a default value
 *   all other fields       left out at their default value, as is usual
 *   Timestamp, Duration    "2026-01-02T03:04:05.678Z", "3.500s"; null where the protobuf
 *                          documentation has no text for the value
 *   FieldMask              "contentType,attributes"
 *   Any                    "@type" and "value", the packed bytes in base64: the types behind
 *                          it are not known here
 *
 * Pure functions; any thread. They abort when memory is gone. */
#ifndef WAYBILL_CLIENT_PROTO_JSON_H
#define WAYBILL_CLIENT_PROTO_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "common/base/bytes.h"

/* A new reference. */
json_t *proto_json(const ProtobufCMessage *message);
/* The same as one line without a line end; the caller frees it with free(). */
char *proto_json_line(const ProtobufCMessage *message);

/* A JSON string of text that may hold anything: each byte that is not part of valid UTF-8
 * becomes U+FFFD. A new reference. */
json_t *proto_json_text(const char *text);

enum { PROTO_JSON_TIME_BYTES = 48 };
/* RFC 3339 in UTC with 0, 3, 6 or 9 digits after the second. False outside the years 1 to
 * 9999 or where nanos is not 0 to 999,999,999; then `out` is empty. */
bool proto_json_print_time(int64_t seconds, int32_t nanos, char out[PROTO_JSON_TIME_BYTES]);

#endif
