/* What the files of a scrub share. */
#ifndef WAYBILL_SCRUB_SCRUB_PARTS_H
#define WAYBILL_SCRUB_SCRUB_PARTS_H

#include "object-svc/scrub/scrub_core.h"

struct scrub {
    const struct scrub_ports *ports;
    const struct scrub_options *options;
    struct scrub_result *result;
    struct pace pace;
};

static inline struct hot_store *scrub_hot(const struct scrub *scrub) {
    return scrub->ports->repair.reader.hot;
}

static inline struct cold_store *scrub_cold(const struct scrub *scrub) {
    return scrub->ports->repair.reader.cold;
}

/* Notes that bytes were read and waits as the rate asks for; false, CANCELLED, after stop. */
bool scrub_go_on(struct scrub *scrub, uint64_t bytes, struct error *error);
/* Whether the failure is that of a copy, and not of something that the whole scrub needs. */
bool scrub_is_damage(const struct error *error);
struct scrub_finding scrub_finding_of(enum scrub_kind kind, enum object_tier tier, const struct object_name *name);
/* Does what can be done about it, if the options say so, and adds it to the result. */
void scrub_settle(struct scrub *scrub, struct scrub_finding *finding);

/* scrub_records.c: records ▸ objects of one tier. */
bool scrub_records(struct scrub *scrub, enum object_tier tier, struct error *error);
/* scrub_objects.c: objects of one tier ▸ records. */
bool scrub_objects(struct scrub *scrub, enum object_tier tier, struct error *error);

#endif
