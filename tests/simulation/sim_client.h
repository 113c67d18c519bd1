/* Clients of the simulated metadata-svc: each does one thing after the other, reads what it needs to
 * know, names versions, and asks again under the same request id when no answer came. */
#ifndef WAYBILL_SIM_CLIENT_H
#define WAYBILL_SIM_CLIENT_H

#include "tests/simulation/sim_metadata.h"

struct sim_clients;

struct sim_clients_options {
    struct model *model;
    struct sim_metadata *metadata;
    unsigned clients;
    unsigned operations; /* of each */
    int64_t think_most_us;
};

/* Begins them, each in a fiber of its own. */
struct sim_clients *sim_clients_start(const struct sim_clients_options *options);
/* What is under way is finished, and no more. */
void sim_clients_stop(struct sim_clients *clients);
bool sim_clients_done(const struct sim_clients *clients);
void sim_clients_free(struct sim_clients *clients);

#endif
