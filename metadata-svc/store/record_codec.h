/* Records and buckets as protobuf messages: for answers, for events, and, behind a version
 * byte, for the store. Built messages borrow from the record and live in the arena. */
#ifndef WAYBILL_STORE_RECORD_CODEC_H
#define WAYBILL_STORE_RECORD_CODEC_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "metadata-svc/store/record.h"
#include "waybill/v1/bucket.pb-c.h"
#include "waybill/v1/event.pb-c.h"
#include "waybill/v1/record.pb-c.h"

Waybill__V1__Record *record_to_proto(const struct record *record, struct arena *arena);
/* `record` borrows from the message and the arena. False with DATA_LOSS when it holds what we
 * never write. */
bool record_from_proto(const Waybill__V1__Record *message, struct arena *arena, struct record *record,
                       struct error *error);

Waybill__V1__Bucket *bucket_to_proto(const struct bucket *bucket, struct arena *arena);
bool bucket_from_proto(const Waybill__V1__Bucket *message, struct bucket *bucket, struct error *error);

/* One attribute of a request or a stored record, borrowing from it; false when no kind is set. */
bool attribute_from_proto(const char *name, const Waybill__V1__AttributeValue *value, struct attribute *attribute);

/* What the attribute's value takes on the wire. */
size_t attribute_encoded_bytes(const struct attribute *attribute, struct arena *arena);

/* A UUID as text in the arena; "" for zero. */
char *uuid_to_text(const struct uuid *id, struct arena *arena);
/* A timestamp message; NULL for 0. */
Google__Protobuf__Timestamp *timestamp_to_proto(int64_t unix_us, struct arena *arena);
/* 0 for NULL. */
int64_t timestamp_from_proto(const Google__Protobuf__Timestamp *message);

/* Wire form in the arena. */
struct bytes record_encode(const struct record *record, struct arena *arena);
bool record_decode(struct bytes wire, struct arena *arena, struct record *record, struct error *error);
/* The state in a record's wire form, without decoding the rest; false where there is none. */
bool record_peek_state(struct bytes wire, enum record_state *state);
struct bytes bucket_encode(const struct bucket *bucket, struct arena *arena);
bool bucket_decode(struct bytes wire, struct arena *arena, struct bucket *bucket, struct error *error);

#endif
