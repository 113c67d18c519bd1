/* What the files of the model share. */
#ifndef WAYBILL_SIM_MODEL_PARTS_H
#define WAYBILL_SIM_MODEL_PARTS_H

#include "tests/simulation/sim_model.h"

enum { MODEL_LOG = 4096, MODEL_OPS = 512, MODEL_MOMENTS = 256, MODEL_VERSIONS = 256 };

/* From this revision on the key's current version was this one; 0: none lived. */
struct model_moment {
    int64_t revision;
    int64_t version;
};

struct model_key {
    unsigned bucket;
    unsigned key;
    int64_t version; /* the highest ever; 0: none yet */
    int64_t revision;
    bool lives;
    struct model_moment moments[MODEL_MOMENTS];
    size_t moment_count;
    struct {
        bool known; /* else it was jumped over */
        bool tombstone;
        struct model_payload *payload; /* NULL: none */
    } versions[MODEL_VERSIONS];        /* by version */
    int64_t failed_version;            /* that the change before this one made fail; 0: none */
};

/* The newest version that readers get; 0: none. */
int64_t model_serving_version(const struct model_key *key);

struct model_entry {
    struct bytes event;
};

struct model {
    struct arena arena;
    struct bucket buckets[MODEL_BUCKETS];
    struct model_entry log[MODEL_LOG]; /* by revision */
    int64_t revision;
    int64_t seen;
    struct model_key keys[MODEL_BUCKETS][MODEL_KEYS];
    struct model_op ops[MODEL_OPS + 1]; /* by number */
    unsigned op_count;
    struct model_payload *payloads;
    bool replaying;
    void (*added)(void *self, const struct model_payload *payload, enum tier tier, const char *replica);
    void *self;
    void (*failed)(void *self, const struct model_payload *payload);
    void *failed_self;
};

#endif
