/* Values as the contract writes them; in the arena. */
#ifndef WAYBILL_OBJECT_API_VALUES_H
#define WAYBILL_OBJECT_API_VALUES_H

#include "common/base/arena.h"
#include "common/base/uuid.h"
#include "google/protobuf/timestamp.pb-c.h"

/* "" for the zero id. */
char *api_id_text(const struct uuid *id, struct arena *arena);
/* NULL for 0. */
Google__Protobuf__Timestamp *api_timestamp(int64_t unix_us, struct arena *arena);

#endif
