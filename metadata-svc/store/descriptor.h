/* The bounds of what a caller may say of a record, checked on the record as it would be. */
#ifndef WAYBILL_STORE_DESCRIPTOR_H
#define WAYBILL_STORE_DESCRIPTOR_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "metadata-svc/store/record.h"

/* INVALID_ARGUMENT (TOO_MANY_ATTRIBUTES, DESCRIPTOR_TOO_LARGE) past the limits of record.h. */
bool descriptor_check(const struct record *record, struct arena *arena, struct error *error);
/* INVALID_ARGUMENT (BAD_EXPIRE_TIME) unless it is 0 or to come. */
bool descriptor_check_expiry(int64_t expire_us, int64_t now_us, struct error *error);

#endif
