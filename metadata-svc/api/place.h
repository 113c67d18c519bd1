/* A place of objects, as those who compare records and objects name it. */
#ifndef WAYBILL_API_PLACE_H
#define WAYBILL_API_PLACE_H

#include "common/base/error.h"
#include "metadata-svc/store/record.h"
#include "waybill/v1/record.pb-c.h"

struct place {
    enum tier tier;
    const char *replica; /* "" for the cold tier */
};

/* INVALID_ARGUMENT: BAD_TIER; BAD_REPLICA where the hot tier has none, or the cold one has. */
bool take_place(Waybill__V1__Tier tier, const char *replica, struct place *place, struct error *error);

#endif
