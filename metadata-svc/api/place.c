#include "metadata-svc/api/place.h"

bool take_place(Waybill__V1__Tier tier, const char *replica, struct place *place, struct error *error) {
    *place = (struct place){(enum tier)tier, replica};
    if (tier != WAYBILL__V1__TIER__TIER_HOT && tier != WAYBILL__V1__TIER__TIER_COLD) {
        return error_set_field(error, "tier", "BAD_TIER", "there is no tier %d", (int)tier);
    }
    if ((place->tier == TIER_HOT) != (replica[0] != '\0')) {
        return error_set_field(error, "replica", "BAD_REPLICA", "the hot tier is a replica's, the cold tier is not");
    }
    return true;
}
