/* The simulated metadata-svc as object-svc's rooms see it: a payload source, a report sink, a catalog, and
 * an object reader over them. */
#ifndef WAYBILL_SIM_PORTS_H
#define WAYBILL_SIM_PORTS_H

#include "object-svc/cold/cold_store.h"
#include "object-svc/hot/hot_store.h"
#include "object-svc/upstream/drop_source.h"
#include "object-svc/upstream/object_catalog.h"
#include "object-svc/upstream/object_report.h"
#include "object-svc/upstream/payload_source.h"
#include "object-svc/upstream/report_numbers.h"
#include "tests/simulation/sim_metadata.h"
#include "tests/simulation/sim_model.h"

/* From one replica to metadata-svc. */
struct sim_link {
    struct sim_metadata *metadata;
    const char *replica;
    struct report_numbers numbers;
};

struct payload_source sim_payload_source(struct sim_link *link);
struct report_sink sim_report_sink(struct sim_link *link);
struct drop_source sim_drop_source(struct sim_link *link);
/* Its list is not served. */
struct object_catalog sim_object_catalog(struct sim_link *link);
bool sim_report(void *link, struct object_report *reports, size_t count, struct error *error);

struct sim_reading {
    struct model *model;
    struct hot_store *hot;
    struct cold_store *cold;
    struct sim_link *link;
};
/* Reads the object as ReadObject would, and holds every byte that comes to the model. */
void sim_read_object(const struct sim_reading *reading, const Waybill__V1__Record *record);

#endif
